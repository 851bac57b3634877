"""What a rig's parts cost while a test kills them: memory at its peak, results that did not come, ends by force."""

from __future__ import annotations

import contextlib
import random
import threading
from itertools import pairwise
from pathlib import Path

from .rig import Rig
from .science import twice

_LOOK = 0.1  # seconds between two looks at the processes


class WatchedRig(Rig):
    """A rig that knows its row of the report. Starting and killing is as of any rig."""

    kills = 0
    peak = 0  # bytes that the bridge held at most, over all of its lives
    _times: list[int]  # when results were stored, in nanoseconds
    _over: threading.Event | None = None

    def start_bridge(self) -> None:
        super().start_bridge()
        if self._over is None:
            self._times, self._over = [], threading.Event()
            threading.Thread(target=self._look, args=(self._over,), daemon=True).start()

    def kill_bridge(self) -> None:
        self.kills += 1
        super().kill_bridge()

    def kill_worker(self, rng: random.Random) -> bool:
        killed = super().kill_worker(rng)
        self.kills += killed
        return killed

    def call(self, method: str, *arguments: object, seconds: float = 30.0) -> object:
        answer = super().call(method, *arguments, seconds=seconds)
        if method == "tail" and arguments[0] == "answers" and self._over:
            records, _ = answer  # type: ignore[misc]
            self._times.extend(record[2] for record in records)
        return answer

    def close(self) -> None:
        if self._over:
            self._over.set()
        super().close()

    def row(self) -> dict[str, object]:
        """The cells of the report; empty when nothing was published."""
        if not self.ledger.attempted:
            return {}
        verdict = self.ledger.audit(twice)
        return {
            "kills": self.kills,
            "acked": verdict.acknowledged,
            "out": verdict.out,
            "dead": verdict.dead,
            "LOST": len(verdict.lost),
            "DUP": verdict.duplicates,
            "WRONG": len(verdict.wrong),
            "stall": round(self.stall(), 1),
            "RSS": self.peak >> 20,
        }

    def stall(self) -> float:
        """Seconds between two results, the longest time."""
        times = sorted(self._times)
        gaps = (b - a for a, b in pairwise(times))
        return max(gaps, default=0) / 1e9

    def _look(self, over: threading.Event) -> None:
        while not over.wait(_LOOK):
            if self.bridge is not None:
                self.peak = max(self.peak, _resident(self.bridge.pid))


def _resident(pid: int) -> int:
    """The peak of a process's resident memory; 0 when it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
    return 0
