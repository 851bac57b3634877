"""CPU time and memory of a process from /proc, and the middle of several runs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """Time on a CPU of all threads that live now, in seconds, from the scheduler's nanosecond counters.

    Threads that have ended are not counted: the processes measured here keep theirs.
    """
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    members = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            members += family(int(child))
    return members


def rss_mib(pid: int) -> float:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"process {pid} has no VmRSS")


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """(max - min) / median: what a reader needs to know of the noise."""
    return (max(values) - min(values)) / statistics.median(values)
