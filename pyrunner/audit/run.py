"""One audit: events flow, parts are killed, and the ledger is counted.

    Plan -> audit() -> Outcome

On the main thread: what is killed, and what comes back. On threads of their own: the producer, the reader, and who watches
memory. Brokers beside the bridge are written and read through a second bridge, the witness, which nobody kills; a route with
one inside the bridge only through the bridge that is killed.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyrunner import bridge as bridges
from pyrunner.audit.gauges import Memory, longest_stall, percentile, recoveries
from pyrunner.audit.ledger import Tally, Verdict
from pyrunner.audit.parts import BOTH, Broker, Parts, Steps, steps_of
from pyrunner.audit.pod import Disorderly, Pod
from pyrunner.audit.producer import BATCH, Flow, Producer
from pyrunner.audit.promise import Promise, broken, promise_of
from pyrunner.audit.reader import Reader
from pyrunner.audit.route import COMMAND, Route
from pyrunner.bridge import Options, Unavailable
from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError

_FIRST, _LAST = 0.02, 0.95  # between these shares of the events parts are killed
_RECOVERED = 0.8  # of the kills come when something has come out since the one before
_TOGETHER = 0.5  # of the kills of a broker take a bridge along
_NOTHING = ("", "")
_JITTER = 0.3  # seconds that pass at most between a kill's being due and its coming
_QUIET = 1.5  # seconds without anything new after which nothing comes twice any more
_LOOK = 0.02


@dataclass
class Plan:
    """What is to be done to what."""

    route: Route
    flow: Flow
    deeds: list[tuple[str, str]]  # verb, part
    seed: int
    at_steps: bool = False
    broker: Broker | None = None
    patience: float = 120.0  # seconds without any progress after which what is missing is lost
    deadline: float = 1800.0  # of all
    keep: bool = False  # the topics
    warn: Callable[[str], None] = lambda _: None  # hears of what is left to the user
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The ledger, and what was measured beside it."""

    route: Route
    promise: Promise
    verdict: Verdict
    broken: list[str]
    deeds: dict[str, int]  # "kill bridge": how often
    steps_reached: dict[str, int]
    steps_missed: dict[str, int]
    ended: list[str]
    published_again: int
    seconds: float
    stall: float
    recovery: float  # p95
    bridge_memory: int
    worker_memory: int
    rate: float
    seed: int


def audit(plan: Plan, folder: Path, tell: Callable[[int, int, int], None] = lambda *_: None) -> Outcome:
    """Do it, in an empty folder. `tell` hears of progress: deeds done, settled and published events.

    Call it on the main thread. Raises Unavailable when something outside keeps it from a verdict.
    """
    (folder / "program.yaml").write_text(plan.route.text())
    pod = Pod(folder, commands=[COMMAND], environment=plan.environment)
    rng = random.Random(plan.seed)
    steps = _steps(plan, rng) if plan.at_steps else None
    with ExitStack() as ending:
        client = ending.enter_context(_witness(plan, pod, folder))
        ending.callback(pod.close)  # before the witness, who removes what it leaves
        parts = Parts(pod, rng, plan.broker, steps)
        return _Run(plan, pod, parts, client, rng, tell).outcome(steps)


def _steps(plan: Plan, rng: random.Random) -> Steps:
    names = steps_of(plan.route, poisons=plan.flow.poisons > 0)
    return Steps(names, rng, left=plan.deeds.count(("kill", "bridge")))


@contextmanager
def _witness(plan: Plan, pod: Pod, folder: Path) -> Iterator[Callable[[], ControlClient]]:
    """Who is asked for what is there. Its end removes the topics that servers beside the bridge would keep."""
    if not plan.route.embedded:
        with _second_bridge(folder) as client:
            try:
                yield client
            finally:
                _remove(plan, client)
        return
    try:
        yield pod.control
    finally:
        if plan.route.outside and not plan.keep:
            try:
                with _second_bridge(folder) as client:
                    _remove(plan, client)
            except Unavailable as error:
                plan.warn(f"the topics of {plan.route.name} are left: {error}")


@contextmanager
def _second_bridge(folder: Path) -> Iterator[Callable[[], ControlClient]]:
    options = Options(program=folder / "program.yaml", commands=[], state=folder / "witness", data_only=True)
    with bridges.running(options, log=folder / "witness.log") as child:
        yield lambda: ControlClient(child.wire, options.token_file)


def _remove(plan: Plan, client: Callable[[], ControlClient]) -> None:
    """The audit's topics, unless they are to be kept. What cannot be removed is told: the user has to."""
    if plan.keep:
        return
    route = plan.route
    with client() as asking:
        for stream in route.outside:
            try:
                asking.call("audit.remove", stream, f"{route.name}/{COMMAND}", deadline=30.0)
            except (CallError, OSError, EOFError) as error:
                plan.warn(f"the topic {route.topic(stream)}, or what its group keeps, is left: {error}")


class _Run:
    """The state of one audit."""

    def __init__(
        self,
        plan: Plan,
        pod: Pod,
        parts: Parts,
        client: Callable[[], ControlClient],
        rng: random.Random,
        tell: Callable[[int, int, int], None],
    ) -> None:
        self._plan, self._pod, self._parts, self._rng, self._tell = plan, pod, parts, rng, tell
        self._tally = Tally()
        self._due = len(plan.deeds) if plan.at_steps else 0  # a bridge comes to its steps while events flow
        self._client = client
        self._last = min(BATCH, plan.flow.events // 2)
        flow = replace(plan.flow, events=plan.flow.events - self._last)
        self._producer = Producer(client, self._tally, flow, plan.patience, more=lambda: self._due > 0)
        self._reader = Reader(client, self._tally, plan.patience)
        self._memory = Memory(pod)
        self._began = time.monotonic()
        self._times: list[float] = []
        self._done: dict[str, int] = {}
        self._disorder: list[str] = []

    def outcome(self, steps: Steps | None) -> Outcome:
        self._parts.start()
        self._pod.await_bridge()
        self._began = time.monotonic()
        for thread in (self._memory, self._producer, self._reader):
            thread.start()
        try:
            if self._storm():
                self._settle()
        finally:
            self._halt()
        self._memory.join()
        return self._sum_up(steps)

    def _storm(self) -> bool:
        """Does all deeds while events flow; False when nothing came out any more."""
        deeds = self._drawn()
        events = self._plan.flow.events
        dues = sorted(self._rng.uniform(_FIRST, _LAST) * events for _ in deeds)
        for due, (verb, part) in zip(dues, deeds, strict=True):
            if self._rng.random() < _RECOVERED:  # the others may hit a part that is just coming back
                due = max(due, self._tally.settled + 1)
            if not self._until(lambda due=due: self._tally.settled >= due or self._no_more()):  # type: ignore[misc]
                return False
            time.sleep(self._rng.uniform(0, _JITTER))
            self._do(verb, part)
            self._due -= 1
        return self._until(lambda: not self._producer.is_alive())

    def _drawn(self) -> list[tuple[str, str]]:
        """The deeds in the order in which they come. Half of the brokers' deaths take a bridge along, which then starts while there
        is no broker."""
        deeds = list(self._plan.deeds)
        self._rng.shuffle(deeds)
        if self._plan.at_steps:
            return deeds
        for n in [n for n, deed in enumerate(deeds) if deed == ("kill", "broker")]:
            if ("kill", "bridge") in deeds and self._rng.random() < _TOGETHER:
                deeds[n] = ("kill", BOTH)
                deeds[deeds.index(("kill", "bridge"))] = _NOTHING
        return [deed for deed in deeds if deed != _NOTHING]

    def _no_more(self) -> bool:
        """Whether all is published and settled: nothing further will be."""
        return not self._producer.is_alive() and self._tally.settled >= self._tally.acknowledged

    def _do(self, verb: str, part: str) -> None:
        """At this moment, or as soon as there is somebody to do it to."""
        try:
            self._until(lambda: self._act(verb, part))
        except Disorderly as error:
            self._disorder.append(str(error))

    def _act(self, verb: str, part: str) -> bool:
        now = time.monotonic()
        if not self._parts.act(verb, part):
            return False
        self._times.append(now)
        for one in part.split("+"):
            name = f"{verb} {one}"
            self._done[name] = self._done.get(name, 0) + 1
        return True

    def _settle(self) -> None:
        """Until all is settled and nothing has come for a while, or nothing moves any more.

        The last events are published when all others are settled and nothing is killed any more. What a bridge that was just started
        reads again lies before them, so when they are out, all has come that comes twice.
        """
        if not self._all_settled():
            return
        again = self._producer.again
        last = Flow(self._last)
        self._producer = Producer(self._client, self._tally, last, self._plan.patience, after=self._producer)
        self._producer.again = again
        self._producer.start()
        if not self._until(lambda: not self._producer.is_alive()) or not self._all_settled():
            return
        quiet, seen = time.monotonic(), (0, 0)
        while time.monotonic() - quiet < _QUIET:
            now = (self._tally.out, self._tally.dead)
            if now != seen:
                quiet, seen = time.monotonic(), now
            self._look()
            time.sleep(_LOOK)

    def _all_settled(self) -> bool:
        return self._until(lambda: self._tally.settled >= self._tally.acknowledged)

    def _until(self, condition: Callable[[], bool]) -> bool:
        """Wait for it; False when nothing has been settled for as long as the patience lasts."""
        moved, settled = time.monotonic(), -1
        while not condition():
            self._look()
            if self._tally.settled != settled:
                moved, settled = time.monotonic(), self._tally.settled
            if time.monotonic() - moved > self._plan.patience:
                return False
            time.sleep(_LOOK)
        return True

    def _look(self) -> None:
        """Who ended by himself is started again; who cannot go on ends the audit."""
        self._parts.mend()
        for thread in (self._producer, self._reader):
            if thread.failure is not None:
                raise Unavailable(f"audit: {thread.name.removeprefix('audit-')}: {thread.failure}")
        if time.monotonic() - self._began > self._plan.deadline:
            raise Unavailable(
                f"audit: not done after {self._plan.deadline:g} s: {sum(self._done.values())} of "
                f"{len(self._plan.deeds)} deeds, {self._tally.settled:,} of {self._plan.flow.events:,} events. "
                "Give it more time by --deadline, or fewer --times"
            )
        self._tell(sum(self._done.values()), self._tally.settled, self._tally.acknowledged)

    def _halt(self) -> None:
        """Reading ends behind publishing: what the last batch became is to be seen, too."""
        self._producer.stop()
        self._producer.join(self._plan.patience)
        self._reader.stop()
        self._reader.join(self._plan.patience)
        self._memory.stop()

    def _sum_up(self, steps: Steps | None) -> Outcome:
        promise = promise_of(self._plan.route, self._plan.deeds)
        verdict = self._tally.verdict()
        arrivals: Sequence[float] = self._reader.arrivals
        seconds = (arrivals[-1] if arrivals else time.monotonic()) - self._began
        return Outcome(
            route=self._plan.route, promise=promise, verdict=verdict,
            broken=[*self._disorder, *broken(promise, verdict)],
            deeds=self._done,
            steps_reached=steps.reached if steps else {}, steps_missed=steps.missed if steps else {},
            ended=self._parts.ended, published_again=self._producer.again, seconds=seconds,
            stall=longest_stall(arrivals, self._began),
            recovery=percentile(recoveries(arrivals, self._times), 0.95),
            bridge_memory=self._memory.bridge, worker_memory=self._memory.worker,
            rate=verdict.out / seconds if seconds > 0 else 0.0, seed=self._plan.seed,
        )  # fmt: skip
