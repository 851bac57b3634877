"""How much memory the parts of a pod take at most, and how long nothing came out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from pyrunner.audit.pod import Pod

_LOOK = 0.2  # seconds between looks; the kernel keeps the peak of each process meanwhile


class Memory(threading.Thread):
    """Watches the bridge's and the workers' peaks of resident memory, in bytes; 0 where there is no /proc."""

    def __init__(self, pod: Pod) -> None:
        super().__init__(name="audit-memory", daemon=True)
        self._pod, self._halt = pod, threading.Event()
        self.bridge = self.worker = 0

    def stop(self) -> None:
        self._halt.set()

    def run(self) -> None:
        while not self._halt.wait(_LOOK):
            bridge, runner = self._pod.bridge, self._pod.runner
            if bridge is not None:
                self.bridge = max(self.bridge, _peak(bridge.pid))
            if runner is not None:
                self.worker = max([self.worker, *map(_peak, self._pod.workers())])


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def longest_stall(arrivals: Sequence[float], since: float) -> float:
    """The longest time in which nothing came out, in seconds."""
    times = [since, *arrivals]
    return max((b - a for a, b in pairwise(times)), default=0.0)


def recoveries(arrivals: Sequence[float], kills: Sequence[float]) -> list[float]:
    """For each kill the longest time without a result between it and the next one."""
    found = []
    ends = [*kills[1:], float("inf")]
    for kill, end in zip(kills, ends, strict=False):
        times = [kill, *(t for t in arrivals if kill < t <= end)]
        after = next((t for t in arrivals if t > end), None)
        if after is not None and len(times) == 1:
            times.append(after)  # the next kill came before it had recovered
        found.append(longest_stall(times[1:], kill))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0
