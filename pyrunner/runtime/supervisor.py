"""The parent of workers: spawns them, names their deaths, cuts those that hang, and ends them in order.

Theory of operation. One loop waits for: a signal, a report of a worker, the death of one (pidfd), a cut that the bridge asks
for, or the next thing that is due. It never waits for one worker. A death is told to the bridge at once, with its cause: a
process that the worker forked may hold its socket open, so that the bridge sees nothing. Then the whole group is killed,
before the dead leader is reaped, because until then its number cannot be anybody else's. Workers are spawned, not
forked: libraries with threads of their own hang in a forked child.

A bridge that starts anew knows nothing of a worker that hangs meanwhile, and asks nobody to end it. So a worker that has not
come back to it a deadline and some time after the parent has is cut, too.

A shadow's workers are a slot like any other, but for this: that their model cannot be loaded ends nothing, they are started again
later each time, and the end does not wait for them.

Versions come and go while others run (`change`): a new one gets slots of its own; one that goes drains, its slots go with
its workers, and at last its connection to the bridge.

A standby is a slot like any other, whose worker has been told that it is one. When a worker dies and not by our will, the two slots change
places: the standby is called, and what is started in the dead one's slot is the next standby. The bridge, which sees the death first, has
let it in by then; the call is for what only the parent can know: that a goodbye was a death, and who is what when the bridge starts anew.

A cut: SIGUSR1, so that the worker dumps its stacks; 200 ms; SIGKILL for the group; the user's part of the stack to the log.
Signals: the first SIGTERM or SIGINT drains (each worker says DRAIN, answers what it has and ends), the second kills.
"""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from pyrunner.client import Dialler, Identity
from pyrunner.protocol import Role
from pyrunner.runtime.deaths import EXIT_OK, Death, name_death
from pyrunner.runtime.line import Line
from pyrunner.runtime.memory import OomCounter
from pyrunner.runtime.process import WorkerProcess, wait_any
from pyrunner.runtime.room import MIB, memory_of
from pyrunner.runtime.slots import Slot
from pyrunner.runtime.specs import WorkerEvent, WorkerSpec
from pyrunner.runtime.stacks import WAIT, users_stack
from pyrunner.runtime.waker import Waker

_LOOK = 0.05  # seconds between looks where there is no pidfd
_LONGEST = 60.0
_SHADOW_GRACE = 2.0  # seconds that a shadow's worker has at the end
_RETURN = 10.0  # seconds beyond the deadline in which workers dial a new bridge


class Supervisor:
    """Runs workers until told to end.

    `run` blocks and returns the exit code: 0 after a drain, 1 when a worker had to be killed for it, 2 when `fail_fast` is set and a
    worker could not load its model before it had ever been ready. `stop` may be called from any thread or signal handler.
    `metrics` is (host, port) of /metrics. `grace` is how long a drain may take. `part` is called with this parent's name, on a thread of its
    own, when it is first told to end: the workers are told when it returns, or at the second signal.
    """

    def __init__(
        self,
        specs: Sequence[WorkerSpec],
        *,
        bridge: str,
        token_file: Path,
        log: Any,
        on_event: Callable[[WorkerEvent], None] | None = None,
        metrics: tuple[str, int] | None = None,
        grace: float = 25.0,
        fail_fast: bool = False,
        log_json: bool | None = None,
        log_level: str = "info",
        part: Callable[[str], None] | None = None,
    ) -> None:
        self._bridge, self._token_file, self._log = bridge, Path(token_file), log
        self._on_event = on_event or (lambda _: None)
        self._metrics_at = metrics
        self._grace = grace
        self._fail_fast = fail_fast
        self._arguments = ["--bridge", bridge, "--token-file", str(token_file), "--log-level", log_level]
        if log_json is not None:
            self._arguments.append("--log-json" if log_json else "--no-log-json")
        self._numbers = itertools.count()
        self._slots = [slot for spec in specs for slot in self._slots_of(spec)]
        self._name = f"{os.uname().nodename}-{os.getpid()}"
        self._waker = Waker()
        self._cuts: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._changes: SimpleQueue[Callable[[], None]] = SimpleQueue()
        # By command: the life of its bridge, since when it is known here, until when workers may come.
        self._bridges: dict[str, tuple[int, float, float]] = {}
        self._stops = 0
        self._ends_at: float | None = None
        self._part = part
        self._parting: threading.Event | None = None  # set when the workers may go
        self._exit = EXIT_OK
        self._lines: dict[str, Line] = {}
        self._oom = OomCounter()
        self._parent_metrics: Any = None
        self._forget: Callable[[Slot], None] = lambda slot: None
        self.metrics_port: int | None = None

    # ---- verbs

    def stop(self) -> None:
        """Drain and end; called again, kill."""
        self._stops += 1
        self._waker.set()

    def change(self, add: Sequence[WorkerSpec] = (), remove: Collection[str] = ()) -> None:
        """Have workers of further specs, and none of these routes any more. Returns at once; from any thread."""
        self._changes.put(lambda: self._add(add))
        self._changes.put(lambda: self._remove(remove))
        self._waker.set()

    def replace(self, spec: WorkerSpec) -> None:
        """Have each worker of this route replaced by one of this spec, one after the other. Returns at once; from any thread."""
        self._changes.put(lambda: self._turn_to(spec))
        self._waker.set()

    def largest(self) -> int:
        """The bytes that the largest worker has for itself; 0 while there is none, or where the system does not tell."""
        processes = [slot.process for slot in list(self._slots) if not slot.spec.shadow]
        return max((memory_of(p.pid) for p in processes if p is not None and p.ready), default=0)

    def run(self) -> int:
        with tempfile.TemporaryDirectory(prefix="ds-runner-metrics-") as folder:
            handlers = self._take_signals()
            stop_metrics = self._serve_metrics(Path(folder))
            self._open_lines()
            try:
                while not self._over():
                    self._turn()
            finally:
                self._kill_all()
                for line in self._lines.values():
                    line.close()
                stop_metrics()
                self._give_signals_back(handlers)
        return self._exit

    # ---- one turn of the loop

    def _turn(self) -> None:
        now = time.monotonic()
        if self._stops and self._ends_at is None and self._may_end():
            self._begin_to_end(now)
            if self._over():  # there is nobody to wait for
                return
        self._start_due(now)
        self._wait(now)
        self._cut_asked()
        self._change_asked()
        for slot in list(self._slots):
            self._look_at(slot)
        self._turn_next()

    def _over(self) -> bool:
        return self._ends_at is not None and all(slot.process is None for slot in self._slots)

    def _wait(self, now: float) -> None:
        descriptors = [self._waker.fileno()]
        due = [now + _LONGEST] if self._ends_at is None or self._ends_at < now else [self._ends_at]
        for slot in self._slots:
            if slot.process is None:
                due += [] if self._stops else [slot.due]
                continue
            due += [] if slot.kill_at is None else [slot.kill_at]
            due += [] if (until := self._missed(slot)) is None else [until]
            watched = slot.process.descriptors
            due += [now + _LOOK] if len(watched) < 2 or slot.process.killed else []
            descriptors += watched if slot.process.talks else watched[1:]
        wait_any(descriptors, min(due) - now)
        self._waker.clear()

    def _look_at(self, slot: Slot) -> None:
        process = slot.process
        if process is None:
            return
        died = process.has_died()  # looked at first, so that its last reports are read
        for report in process.reports():
            self._take_report(slot, process, report)
        now = time.monotonic()
        if died:
            self._bury(slot, process, now)
        elif self._ends_at is not None and (now >= self._ends_at or self._stops > 1):
            self._kill_late(slot, process)
        elif slot.kill_at is not None and now >= slot.kill_at:
            slot.kill_at = None
            process.kill_group()
        elif (until := self._missed(slot)) is not None and now >= until:
            self._cut(slot, process, "it has not come back to the bridge")

    def _missed(self, slot: Slot) -> float | None:
        """Until when its worker may be missed by a new bridge; None when it is not."""
        process = slot.process
        bridge, since, until = self._bridges.get(slot.spec.route, (None, 0.0, 0.0))
        if (
            process is None
            or not process.ready
            or process.cut_reason is not None
            or self._ends_at is not None
        ):
            return None
        # One that has another bridge since is ahead of this parent: it is there with the next one, which this has not reached.
        ahead = process.bridge is not None and process.bridge_at > since
        return None if bridge is None or bridge == process.bridge or ahead else until

    def _kill_late(self, slot: Slot, process: WorkerProcess) -> None:
        if not process.killed:
            self._log.warning("worker killed, it did not end in time", slot=slot.number, pid=process.pid)
            self._exit = self._exit if slot.spec.shadow else 1
            process.kill_group()

    # ---- the life of a worker

    def _slots_of(self, spec: WorkerSpec) -> list[Slot]:
        wanted = range(spec.workers + spec.standby)
        return [Slot(spec, next(self._numbers), spare=place >= spec.workers) for place in wanted]

    def _start_due(self, now: float) -> None:
        for slot in self._slots:
            if slot.process is None and not self._stops and now >= slot.due and not slot.leaving:
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        slot.starts += 1
        name = f"{self._name}-{slot.number}.{slot.starts}"
        slot.process = WorkerProcess(slot.spec, slot.number, name, self._arguments, standby=slot.spare)
        self._count(lambda m: m.starts.labels(slot.spec.route).inc())
        self._tell("started", slot, slot.process.pid)

    def _take_report(self, slot: Slot, process: WorkerProcess, report: dict[str, Any]) -> None:
        if report["kind"] == "ready":
            slot.ready(time.monotonic())
            memory = {"memory": f"{memory_of(process.pid) // MIB} MiB"} if slot.spare else {}
            self._log.info(
                "standby ready" if slot.spare else "worker ready",
                command=slot.spec.route,
                slot=slot.number,
                pid=process.pid,
                model=report.get("model"),
                **memory,
            )
            self._tell("ready", slot, process.pid, detail=str(report.get("model", "")))
        elif report["kind"] == "unknown":
            self._tell("unknown", slot, process.pid, detail=str(report.get("sentence", "")))

    def _cut_asked(self) -> None:
        while True:
            try:
                worker, reason = self._cuts.get_nowait()
            except Empty:
                return
            for slot in self._slots:
                if (
                    slot.process is not None
                    and slot.process.worker == worker
                    and slot.process.cut_reason is None
                ):
                    self._cut(slot, slot.process, reason)

    def _cut(self, slot: Slot, process: WorkerProcess, reason: str) -> None:
        process.cut_reason = reason or "over its deadline"
        asked = process.ask_for_stack()
        slot.kill_at = time.monotonic() + (WAIT if asked else 0)

    def _bury(self, slot: Slot, process: WorkerProcess, now: float) -> None:
        stack = process.stack()
        out_of_memory = self._oom.rose()
        returncode = process.bury()
        self._forget(slot)
        ended = (self._stops or slot.leaving or slot.turning) and returncode in (
            EXIT_OK,
            -signal.SIGTERM,
        )  # the latter while loading
        death = name_death(
            returncode, cut=process.cut_reason, failure=process.failure, out_of_memory=out_of_memory
        )
        self._lines[slot.spec.route].died(process.worker, death.cause, death.detail)
        if ended:
            slot.died(now, while_loading=False)
            self._tell("ended", slot, process.pid)
        else:
            self._note_death(slot, process, death, stack, now)
            self._relieve(slot)
        if slot.leaving:
            self._take_out(slot)

    def _relieve(self, slot: Slot) -> None:
        """Give the place of a worker that has died to a standby of the same spec, loaded or about to be."""
        if slot.spare or slot.leaving or self._stops:
            return
        for other in self._slots:
            if other.spare and other.spec == slot.spec and other.process is not None and not other.turning:
                slot.spare, other.spare = True, False
                other.process.call()
                self._log.info(
                    "standby takes its place",
                    command=slot.spec.route,
                    slot=other.number,
                    pid=other.process.pid,
                )
                return

    def _note_death(self, slot: Slot, process: WorkerProcess, death: Death, stack: str, now: float) -> None:
        self._count(lambda m: m.deaths.labels(slot.spec.route, death.cause).inc())
        pause = slot.died(now, while_loading=death.cause == "load", killed=death.cause == "killed")
        values: dict[str, Any] = {"command": slot.spec.route, "slot": slot.number, "pid": process.pid}
        if death.cause == "load":
            self._note_failed_load(slot, death, values)
        elif self._ends_at is None:
            shown = users_stack(stack) or stack
            values |= {"stack": shown} if shown else {}
            self._log.error(
                f"worker {death.sentence}", cause=death.cause, restart_in=round(pause, 2), **values
            )
        self._tell(
            "failed" if death.cause == "load" else "died", slot, process.pid, death.cause, death.detail
        )

    def _note_failed_load(self, slot: Slot, death: Death, values: dict[str, Any]) -> None:
        """One line for each cause, however often and by however many workers it is tried."""
        if death.detail not in {s.told for s in self._slots if s.spec.route == slot.spec.route}:
            self._log.error("worker could not load its model", reason=death.detail, **values)
        slot.told = death.detail
        own = [s.process for s in self._slots if s.process is not None and not s.spec.shadow]
        if (
            self._fail_fast
            and not slot.spec.shadow
            and not slot.added
            and not any(process.ready for process in own)
        ):
            self._exit = 2
            self.stop()

    # ---- versions that come and go

    def _change_asked(self) -> None:
        while True:
            try:
                change = self._changes.get_nowait()
            except Empty:
                return
            if self._ends_at is None:
                change()

    def _add(self, specs: Sequence[WorkerSpec]) -> None:
        for spec in specs:
            for slot in self._slots_of(spec):
                slot.added = True
                self._slots.append(slot)
            if spec.route not in self._lines:
                self._open_line(spec)

    def _remove(self, routes: Collection[str]) -> None:
        now = time.monotonic()
        for slot in [slot for slot in self._slots if slot.spec.route in routes and not slot.leaving]:
            slot.leaving = True
            if slot.process is None:
                self._take_out(slot)
            else:
                slot.kill_at = now + self._grace
                slot.process.end()

    def _turn_to(self, spec: WorkerSpec) -> None:
        for slot in self._slots:
            if slot.spec.route == spec.route and not slot.leaving:
                slot.next = None if slot.spec == spec else spec

    def _turn_next(self) -> None:
        """One worker of a route at a time, the next when the one before is ready or has failed: then it is turned back."""
        if self._ends_at is not None:
            return
        for slot in self._slots:
            peers = [s for s in self._slots if s.spec.route == slot.spec.route]
            if slot.next is None or any(peer.turning and peer is not slot for peer in peers):
                continue
            slot.spec, slot.next = slot.next, None
            slot.added = slot.turning = True
            slot.due = 0.0
            if slot.process is not None:
                slot.kill_at = time.monotonic() + self._grace
                slot.process.end()

    def _take_out(self, slot: Slot) -> None:
        """The slot goes, and with the last of its route the connection that speaks for it, which says what is left to say."""
        self._slots.remove(slot)
        route = slot.spec.route
        if all(other.spec.route != route for other in self._slots) and route in self._lines:
            self._lines.pop(route).close(timeout=0)

    # ---- the end

    def _may_end(self) -> bool:
        """Whether the workers may be told to go: somebody else may need them still."""
        if self._part is None or self._stops > 1:
            return True
        if self._parting is None:
            self._parting = threading.Event()
            threading.Thread(target=self._take_leave, args=(self._part, self._parting), daemon=True).start()
        return self._parting.is_set()

    def _take_leave(self, part: Callable[[str], None], parted: threading.Event) -> None:
        try:
            part(self._name)
        finally:
            parted.set()
            self._waker.set()

    def _begin_to_end(self, now: float) -> None:
        self._ends_at = now + self._grace
        alive = [slot.process for slot in self._slots if slot.process is not None]
        if alive:
            self._log.info("draining", workers=len(alive))
        for process in alive:
            process.end()
        for slot in self._slots:
            if slot.spec.shadow:
                slot.kill_at = now + _SHADOW_GRACE

    def _kill_all(self) -> None:
        for slot in self._slots:
            if slot.process is not None:
                slot.process.bury()
                slot.process = None

    # ---- around

    def _take_signals(self) -> list[tuple[int, Any]]:
        if threading.current_thread() is not threading.main_thread():
            return []
        self._waker.on_signals()
        numbers = (signal.SIGTERM, signal.SIGINT)
        return [(number, signal.signal(number, lambda *_: self.stop())) for number in numbers]

    def _give_signals_back(self, handlers: list[tuple[int, Any]]) -> None:
        for number, handler in handlers:
            signal.signal(number, handler)
        if handlers:
            signal.set_wakeup_fd(-1)

    def _open_lines(self) -> None:
        for spec in {slot.spec.route: slot.spec for slot in self._slots}.values():
            self._open_line(spec)

    def _open_line(self, spec: WorkerSpec) -> None:
        def cut(worker: str, reason: str) -> None:
            self._cuts.put((worker, reason))
            self._waker.set()

        def reached(command: str) -> Callable[[int, float], None]:
            def note(bridge: int, deadline: float) -> None:
                if self._bridges.get(command, (None, 0.0, 0.0))[0] != bridge:
                    now = time.monotonic()
                    self._bridges[command] = (bridge, now, now + deadline + _RETURN)
                    self._waker.set()

            return note

        identity = Identity(spec.name or _program_name(spec), spec.route, f"{self._name}-{spec.route}")
        dialler = Dialler(self._bridge, self._token_file, Role.SUPERVISOR, identity, self._log)
        self._lines[spec.route] = Line(dialler, cut, reached(spec.route), self._log)
        self._lines[spec.route].start()

    def _serve_metrics(self, folder: Path) -> Callable[[], None]:
        if self._metrics_at is None:
            return lambda: None
        from pyrunner import metrics

        self._forget = lambda slot: metrics.forget_gauges(folder, [str(slot.number)])
        self._arguments += ["--metrics", str(folder)]
        registry = metrics.parent_registry(folder)
        self._parent_metrics = metrics.ParentMetrics(registry)
        self.metrics_port, stop = metrics.serve(registry, *self._metrics_at)
        return stop

    def _count(self, change: Callable[[Any], None]) -> None:
        if self._parent_metrics is not None:
            change(self._parent_metrics)

    def _tell(self, kind: str, slot: Slot, pid: int, cause: str = "", detail: str = "") -> None:
        self._on_event(WorkerEvent(kind, slot.spec.route, slot.number, pid, cause, detail))


def _program_name(spec: WorkerSpec) -> str:
    from pyrunner.program import load_program

    return load_program(spec.program, spec.env, tuple(spec.params)).name
