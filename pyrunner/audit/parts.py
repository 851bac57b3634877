"""What may be killed, stopped or paused, and how each comes back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pyrunner.audit.pod import Pod
from pyrunner.audit.route import Route
from pyrunner.bridge import Unavailable, find_bridge
from pyrunner.errors import UserError

KILLABLE = ("bridge", "worker", "broker")
STOPPABLE = ("bridge", "worker")
BOTH = "broker+bridge"  # killed together
_DOWN = (0.0, 1.0)  # seconds for which a broker stays away
_PAUSED = (0.5, 3.0)  # seconds for which a part stands still
_STEP_SECONDS = 20.0  # in which a bridge comes to the step at which it is to end
_PASSES = {"draining": 2, "dead-lettering": 2}  # how often at most it comes there before it ends; elsewhere
_MOST_PASSES = 4


class Broker(Protocol):
    """A broker beside the bridge, in somebody's hands."""

    def kill(self) -> None: ...

    def restart(self) -> None: ...


@dataclass
class CommandBroker:
    """A broker that commands of the user kill and start, or whose process is known."""

    kill_by: str | None
    start_by: str
    pid: str | None = None  # a number, or a file that holds it

    def kill(self) -> None:
        if self.kill_by is not None:
            _shell(self.kill_by, "--broker-kill")
            return
        try:
            os.kill(self._number(), signal.SIGKILL)
        except (OSError, ValueError) as error:
            raise Unavailable(f"audit: --broker-pid {self.pid}: {error}") from None

    def restart(self) -> None:
        _shell(self.start_by, "--broker-start")

    def _number(self) -> int:
        text = str(self.pid)
        return int(text if text.isdigit() else Path(text).read_text().strip())


def _shell(command: str, option: str) -> None:
    """A command of the user. What it starts in the background goes on."""
    done = subprocess.run(
        command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise Unavailable(f"audit: {option} {command!r} ended with exit code {done.returncode}")


@dataclass
class Steps:
    """The named steps of a bridge that is built with them, in turn; `left` lives of it are to end at one."""

    names: Sequence[str]
    rng: random.Random
    left: int
    reached: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    armed: str = ""
    ahead: int = 0  # ends that came before somebody asked for them

    def arm(self) -> dict[str, str]:
        """The environment of the next bridge: where it is to end."""
        if not self.left:
            self.armed = ""
            return {}
        self.left -= 1
        turn = sum(self.reached.values()) + sum(self.missed.values())
        self.armed = self.names[turn % len(self.names)]
        passes = self.rng.randint(1, _PASSES.get(self.armed, _MOST_PASSES))
        return {"DS_STEP": f"{self.armed}:{passes}"}

    def note(self, reached: bool) -> None:
        counts = self.reached if reached else self.missed
        counts[self.armed] = counts.get(self.armed, 0) + 1


def steps_of(route: Route, *, poisons: bool) -> list[str]:
    """The steps of this bridge that events come to on a route. UserError where it is built without."""
    binary = find_bridge()
    done = subprocess.run([binary, "steps"], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode or not done.stdout.split():
        raise UserError(
            f"audit: --at steps: {binary} has no named steps. Build one that has, and name it: "
            "go build -tags faults -o ds-bridge-faults ./bridge_go/cmd/ds-bridge; DS_BRIDGE=./ds-bridge-faults"
        )
    elsewhere = set() if poisons else {"dead-lettering"}
    match route.sink.scheme if route.guarantee == "exactly-once" else "":
        case "kafka":
            elsewhere |= {"before-commit"}
        case "postgres":  # which gets a transaction's rows at once
            elsewhere |= {"before-commit", "half-results"}
        case _:
            elsewhere |= {"transaction-end", "transaction-sent"}
    return [step for step in done.stdout.split() if step not in elsewhere]


class Parts:
    """Kills, stops and pauses the parts of a pod, and brings them back. For one thread."""

    def __init__(self, pod: Pod, rng: random.Random, broker: Broker | None, steps: Steps | None) -> None:
        self._pod, self._rng, self._broker, self._steps = pod, rng, broker, steps
        self.ended: list[str] = []  # what was said by parts that ended by themselves

    def start(self) -> None:
        self._pod.start_bridge(**self._armed())
        self._pod.start_runner()

    def act(self, verb: str, part: str) -> bool:
        """Do it; False when there was nobody to do it to."""
        deeds: dict[tuple[str, str], Callable[[], bool]] = {
            ("kill", "bridge"): self._kill_bridge,
            ("kill", "worker"): lambda: self._pod.kill_worker(self._rng),
            ("kill", "broker"): self._kill_broker,
            ("kill", BOTH): lambda: self._kill_broker(self._kill_bridge),
            ("stop", "bridge"): self._stop_bridge,
            ("stop", "worker"): self._stop_runner,
            ("pause", "bridge"): self._pause_bridge,
            ("pause", "worker"): self._pause_worker,
        }
        return deeds[verb, part]()

    def mend(self) -> None:
        """Start again what has ended by itself, as a kubelet does, and remember it."""
        bridge, runner = self._pod.bridge, self._pod.runner
        if bridge is not None and bridge.poll() is not None:
            if self._steps is not None and self._steps.armed and bridge.returncode == -signal.SIGKILL:
                self._steps.note(reached=True)
                self._steps.ahead += 1
            else:
                self.ended.append(f"bridge: exit code {bridge.returncode}. {self._pod.words('bridge')}")
            self._pod.start_bridge(**self._armed())
        if runner is not None and runner.poll() is not None:
            self.ended.append(f"runner: exit code {runner.returncode}. {self._pod.words('runner')}")
            self._pod.start_runner()

    def _armed(self) -> dict[str, str]:
        return {} if self._steps is None else self._steps.arm()

    def _kill_bridge(self) -> bool:
        if self._steps is not None:
            if self._steps.ahead:
                self._steps.ahead -= 1
                return True
            self._steps.note(self._comes_to_its_step(self._steps.armed))
        self._pod.kill_bridge(**self._armed())
        return True

    def _comes_to_its_step(self, step: str) -> bool:
        """Whether the bridge ends by itself in time, where it has to be asked to drain for that step."""
        bridge = self._pod.bridge
        assert bridge is not None
        if step == "draining":
            self._pod.call("status")  # it is up
            bridge.terminate()
        deadline = time.monotonic() + _STEP_SECONDS
        while bridge.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        return bridge.returncode == -signal.SIGKILL

    def _kill_broker(self, meanwhile: Callable[[], bool] = lambda: True) -> bool:
        assert self._broker is not None
        self._broker.kill()
        meanwhile()
        time.sleep(self._rng.uniform(*_DOWN))
        self._broker.restart()
        return True

    def _stop_bridge(self) -> bool:
        if not self._pod.bridge_is_up():
            return False
        self._pod.stop_bridge()
        self._pod.start_bridge(**self._armed())
        return True

    def _stop_runner(self) -> bool:
        if (
            not self._pod.workers()
        ):  # one that is just coming up knows nothing of signals, and has nothing to end in order
            return False
        self._pod.stop_runner()
        self._pod.start_runner()
        return True

    def _pause_bridge(self) -> bool:
        assert self._pod.bridge is not None
        self._pause(self._pod.bridge.pid)
        return True

    def _pause_worker(self) -> bool:
        workers = self._pod.workers()
        if workers:
            self._pause(self._rng.choice(workers))
        return bool(workers)

    def _pause(self, pid: int) -> None:
        """Stand still for a moment. The pod's end wakes what an interrupted audit leaves stopped."""
        try:
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self._rng.uniform(*_PAUSED))
        except ProcessLookupError:
            return
        finally:
            _wake(pid)


def _wake(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return  # its parent has cut it meanwhile
