"""What a rig's parts cost while a test kills them: ends by force, results that did not come, memory at its peak."""

from __future__ import annotations

import random
import time
from typing import Any

from pyrunner.audit.gauges import Memory, longest_stall
from pyrunner.client.pending import CallError

from .auditor import Ledger
from .rig import Rig
from .science import twice


class WatchedRig(Rig):
    """A rig that knows its row of the report. Starting and killing is as of any rig."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.kills = 0
        self.memory = Memory(self)
        self.memory.start()
        self._times: list[float] = []  # when results were stored
        self._audited = False

    def kill_bridge(self, **environment: str) -> None:
        self.kills += 1
        super().kill_bridge(**environment)

    def kill_worker(self, rng: random.Random) -> bool:
        killed = super().kill_worker(rng)
        self.kills += killed
        return killed

    def call(self, method: str, *arguments: object, seconds: float = 60.0) -> Any:
        if method != "tail":
            return super().call(method, *arguments, seconds=seconds)
        records, after = self._tail(*arguments)
        if arguments[0] == "answers":
            self._times.extend(record[2] / 1e9 for record in records)
        return records, after

    def _tail(self, *arguments: object) -> Any:
        """Reading moves nothing: it is tried again when the way to the broker is what the test broke."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return super().call("tail", *arguments)
            except CallError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def wait_settled(self, *, seconds: float) -> Ledger:
        self._audited = True
        return super().wait_settled(seconds=seconds)

    def close(self) -> None:
        self.memory.stop()
        super().close()

    def row(self) -> dict[str, object]:
        """The cells of the report; empty when nobody has waited for what was published, or a test that failed publishes still."""
        if not self._audited:
            return {}
        try:
            verdict = self.ledger.audit(twice)
        except RuntimeError:  # a set changed meanwhile
            return {}
        return {
            "kills": self.kills,
            "acked": verdict.acknowledged,
            "out": verdict.out,
            "dead": verdict.dead,
            "LOST": len(verdict.lost),
            "DUP": verdict.duplicates,
            "WRONG": len(verdict.wrong),
            "stall": round(self.stall(), 1),
            "RSS": self.memory.bridge >> 20,
        }

    def stall(self) -> float:
        """Seconds between two results, the longest time."""
        times = sorted(self._times)
        return longest_stall(times[1:], times[0]) if times else 0.0
