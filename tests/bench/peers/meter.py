"""What a peer prints of its run."""

from __future__ import annotations

import json
import time


class Meter:
    """Counts events; `start` and `stop` bound the CPU and wall time. A second start counts for nothing."""

    def __init__(self) -> None:
        self.n = 0
        self._began: tuple[float, float] | None = None
        self._took = (0.0, 0.0)

    def start(self) -> None:
        if self._began is None:
            self._began = time.process_time(), time.monotonic()

    def stop(self) -> None:
        assert self._began is not None, "nothing was read"
        self._took = time.process_time() - self._began[0], time.monotonic() - self._began[1]

    def __str__(self) -> str:
        return json.dumps({"n": self.n, "cpu_s": self._took[0], "wall_s": self._took[1]})
