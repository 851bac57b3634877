"""Whether the kernel killed for memory: its counters, before and after."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


class OomCounter:
    """Counts the kernel's out-of-memory kills around this process: in its cgroup, else on the machine.

    `rose` says whether there were any since the last look. Where the system tells nothing it never rises.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = next((f for f in _candidates(root) if _read(f) is not None), None)
        self._last = self._now()

    def rose(self) -> bool:
        before, self._last = self._last, self._now()
        return self._last > before

    def _now(self) -> int:
        return (_read(self._file) or 0) if self._file else 0


def _candidates(root: Path) -> Iterator[Path]:
    """The most telling first. In a container the cgroup's own files are at the root of the mount."""
    mount = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield mount / path.lstrip("/") / "memory.events"
        elif "memory" in controllers.split(","):
            yield mount / "memory" / path.lstrip("/") / "memory.oom_control"
    yield mount / "memory.events"
    yield mount / "memory/memory.oom_control"
    yield root / "proc/vmstat"


def _read(file: Path) -> int | None:
    try:
        found = _COUNT.search(file.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None
