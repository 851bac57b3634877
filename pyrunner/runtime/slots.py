"""One place for a worker: who holds it now, and when the next one starts. Pure but for the process that it holds."""

from __future__ import annotations

from pyrunner.client import Backoff
from pyrunner.runtime.process import WorkerProcess
from pyrunner.runtime.specs import WorkerSpec

_STEADY = 10.0  # a worker that was ready for so long has nothing to do with the death before


class Slot:
    """A slot is empty until `due`; a death makes it empty again, for longer each time when deaths follow each other."""

    def __init__(self, spec: WorkerSpec, number: int, *, spare: bool = False) -> None:
        self.spec = spec
        self.spare = (
            spare  # its worker is a standby, until another of the spec dies: then the two slots change places
        )
        self.number = number
        self.process: WorkerProcess | None = None
        self.due = 0.0
        self.kill_at: float | None = None
        self.told = ""  # the last failure to load that was logged
        self.starts = 0
        self.added = False  # while others ran: that it cannot be loaded ends nothing
        self.leaving = False  # is to end, and nobody comes after it
        self.next: WorkerSpec | None = None  # what its next worker is to be, when it is its turn
        self.turning = False  # its worker was asked to end for that, and the next is not ready yet
        self._ready_since: float | None = None
        self._loads = Backoff(0.5, 30.0)
        # Short: loading itself brakes a loop of deaths, and a bisection waits for fresh workers. A shadow's deaths are nobody's
        # hurry, and loading takes from the others.
        self._deaths = Backoff(1.0, 60.0) if spec.shadow else Backoff(0.01, 0.05)
        # Killed from outside before it was ready: not its doing, but whoever kills may do it again.
        self._kills = Backoff(0.05, 1.0)

    def ready(self, now: float) -> None:
        self._ready_since = now
        self.turning = False
        self._loads.reset()
        self._kills.reset()
        self.told = ""

    def died(self, now: float, *, while_loading: bool, killed: bool = False) -> float:
        """The slot is empty. Returns the seconds until the next start; at once when the worker had served well.

        `killed` says that it was ended from outside: a storm of kills is over at some time, and then work is to go on.
        """
        self.process = None
        self.kill_at = None
        steady = self._ready_since is not None and now - self._ready_since >= _STEADY
        served, self._ready_since = self._ready_since is not None, None
        if steady:
            self._deaths.reset()
        pause = self._pause(loading=while_loading or not served, steady=steady, killed=killed)
        self.due = now + pause
        return pause

    def _pause(self, *, loading: bool, steady: bool, killed: bool) -> float:
        if loading:
            return (self._kills if killed else self._loads).next()
        return 0.0 if steady else self._deaths.next()
