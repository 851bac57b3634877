"""One place for a worker: who holds it now, and when the next one starts. Pure but for the process that it holds."""

from __future__ import annotations

from pyrunner.client import Backoff
from pyrunner.runtime.process import WorkerProcess
from pyrunner.runtime.specs import WorkerSpec

_STEADY = 10.0  # a worker that was ready for so long has nothing to do with the death before


class Slot:
    """A slot is empty until `due`; a death makes it empty again, for longer each time when deaths follow each other."""

    def __init__(self, spec: WorkerSpec, number: int) -> None:
        self.spec = spec
        self.number = number
        self.process: WorkerProcess | None = None
        self.due = 0.0
        self.kill_at: float | None = None
        self.told = ""  # the last failure to load that was logged
        self.starts = 0
        self._ready_since: float | None = None
        self._loads = Backoff(0.5, 30.0)
        # Short: loading itself brakes a loop of deaths, and a bisection waits for fresh workers.
        self._deaths = Backoff(0.01, 0.05)

    def ready(self, now: float) -> None:
        self._ready_since = now
        self._loads.reset()
        self.told = ""

    def died(self, now: float, *, while_loading: bool) -> float:
        """The slot is empty. Returns the seconds until the next start; at once when the worker had served well."""
        self.process = None
        self.kill_at = None
        steady = self._ready_since is not None and now - self._ready_since >= _STEADY
        served, self._ready_since = self._ready_since is not None, None
        if steady:
            self._deaths.reset()
        pause = self._loads.next() if while_loading or not served else 0.0 if steady else self._deaths.next()
        self.due = now + pause
        return pause
