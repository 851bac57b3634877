"""Minutes of random faults under load: nothing is lost, and nothing grows (T41).

Each round does one of the catalogue's faults while events flow. What the bridge and the runner hold is looked at between the
rounds, when all is settled: memory, descriptors, goroutines. The bridge is not killed in the half that is measured, or each of
its lives would begin anew; what kills it has the other half.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .proxy import ToxicProxy
from .rig import PROGRAM, Rig, wait_until
from .science import HEADER, twice
from .test_strangers import crowd, farewell, lives, resident, stranger

SECONDS = float(os.environ.get("DS_SOAK_SECONDS", "60"))  # of each half; hours where somebody asks for them
SEED = 20131001
MIB = 1 << 20

# Whatever a test asks for by a file: a crash or a hang, once; an outage while the file is there; and some events raise always.
SOAKED = (
    HEADER
    + """

class Soaked(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        if os.path.exists("outage"):
            raise RuntimeError("the feature service is down")
        if self.once("crash"):
            os.abort()
        if self.once("hang"):
            time.sleep(60)
        return [self.answer(e) for e in events]

    def answer(self, e: Number) -> Answer:
        if e.n % 5_000 == 4_999:
            raise ValueError("poison")
        return Answer(id=e.id, value=e.n * 2.0)

    def once(self, name: str) -> bool:
        try:
            os.unlink(name)
        except FileNotFoundError:
            return False
        return True
"""
)


class Soak:
    """A pod behind a proxy, a publisher that never stops, and the faults that are done to them."""

    def __init__(self, pod: Rig, link: ToxicProxy, seed: int) -> None:
        self.pod, self.link, self.rng = pod, link, random.Random(seed)
        self.done: dict[str, int] = {}
        self._stop, self._pause = threading.Event(), threading.Event()
        self._published = 0
        self._publisher = threading.Thread(target=self._publish, daemon=True)
        self._publisher.start()

    def end(self) -> None:
        self._stop.set()
        self._publisher.join(60)
        assert not self._publisher.is_alive()

    def run(self, faults: list[Callable[[], None]], seconds: float) -> Iterator[None]:
        """Faults at random for so long; yields after each, when all is settled."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            fault = self.rng.choice(faults)
            name = fault.__name__
            self.done[name] = self.done.get(name, 0) + 1
            time.sleep(self.rng.random())
            fault()
            self.calm()
            yield

    def calm(self) -> None:
        """Nothing is published until all that was is settled."""
        self._pause.set()
        wait_until(lambda: self.pod.status()["unsettled"] == 0, seconds=90, what="all to be settled")
        self._pause.clear()

    def _publish(self) -> None:
        while not self._stop.is_set():
            if self._pause.wait(0.02) and not self._stop.wait(0.05):
                continue
            first, self._published = self._published, self._published + 200
            self.pod.poisons.update(n for n in range(first, self._published) if n % 5_000 == 4_999)
            self.pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(first, self._published))

    # -- faults --------------------------------------------------------------------------------------------------

    def kill_a_worker(self) -> None:
        self.pod.kill_worker(self.rng)

    def crash_a_model(self) -> None:
        (self.pod.folder / "crash").touch()

    def hang_a_model(self) -> None:
        (self.pod.folder / "hang").touch()
        time.sleep(1.5)  # past the deadline

    def stop_a_worker(self) -> None:
        if workers := self.pod.workers():
            self._stopped(self.rng.choice(workers))

    def stop_the_bridge(self) -> None:
        assert self.pod.bridge is not None
        self._stopped(self.pod.bridge.pid)

    def reset_the_links(self) -> None:
        self.link.reset()

    def slice_the_links(self) -> None:
        self.link.set(slices=11)
        time.sleep(1)
        self.link.heal()

    def take_the_dependency_away(self) -> None:
        (self.pod.folder / "outage").touch()
        time.sleep(1)
        (self.pod.folder / "outage").unlink()

    def send_nonsense(self) -> None:
        connection, sock = stranger(self.pod)
        sock.sendall(b"\xff\xff\xff\xff" + self.rng.randbytes(100))
        farewell(connection)

    def send_a_crowd(self) -> None:
        lives(crowd(self.pod, 50))

    def kill_the_bridge(self) -> None:
        self.pod.kill_bridge()
        self.pod.await_bridge()

    def restart_the_bridge(self) -> None:
        self.pod.stop_bridge()
        self.pod.start_bridge()
        self.pod.await_bridge()

    def restart_the_runner(self) -> None:
        self.pod.stop_runner()
        self.pod.start_runner(port=self.link.port)
        wait_until(lambda: bool(self.pod.status()["workers"]), seconds=120, what="the new runner's workers")

    def _stopped(self, pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.5 + self.rng.random())
        os.kill(pid, signal.SIGCONT)

    def gentle(self) -> list[Callable[[], None]]:
        """Those that leave the lives of bridge and parent alone."""
        return [
            self.kill_a_worker, self.crash_a_model, self.hang_a_model, self.stop_a_worker, self.stop_the_bridge,
            self.reset_the_links, self.slice_the_links, self.take_the_dependency_away, self.send_nonsense,
            self.send_a_crowd,
        ]  # fmt: skip

    def harsh(self) -> list[Callable[[], None]]:
        return [self.kill_the_bridge, self.restart_the_bridge, self.restart_the_runner, self.kill_a_worker]


@dataclass(frozen=True)
class Held:
    """What the processes hold at one moment."""

    bridge: int  # bytes
    runner: int
    descriptors: int  # of both
    goroutines: float

    @classmethod
    def by(cls, pod: Rig) -> Held:
        assert pod.bridge is not None and pod.runner is not None
        pids = pod.bridge.pid, pod.runner.pid
        return cls(
            resident(pids[0]),
            resident(pids[1]),
            sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
            pod.metric("go_goroutines"),
        )


def grown(looks: list[Held]) -> list[str]:
    """What is more in the last third than in the middle one: the first is warming up."""
    third = len(looks) // 3
    middle, last = looks[third : 2 * third], looks[-third:]

    def more(name: str) -> float:
        return statistics.median(getattr(h, name) for h in last) - statistics.median(
            getattr(h, name) for h in middle
        )

    allowed = {"bridge": 24 * MIB, "runner": 8 * MIB, "descriptors": 8, "goroutines": 12}
    return [f"{name}: {more(name):.0f} more" for name, most in allowed.items() if more(name) > most]


@pytest.mark.long
@pytest.mark.timeout(6 * SECONDS + 600)
def test_T41_random_faults_for_minutes_lose_nothing_and_leave_nothing_behind(rig: Callable[..., Rig]) -> None:
    # The embedded store remembers the ids of its duplicate window in memory: a short one is full before it is measured.
    program = PROGRAM.replace("embedded:", "embedded:?duplicates=20s")
    pod = rig(SOAKED, model="Soaked", workers=2, deadline="1s", program=program)
    pod.start_bridge()
    with ToxicProxy(pod.port, rng=random.Random(SEED)) as link:
        pod.start_runner(port=link.port)
        soak = Soak(pod, link, SEED)
        wait_until(lambda: pod.status()["scored"] > 500, seconds=120, what="results")
        try:
            looks = [Held.by(pod) for _ in soak.run(soak.gentle(), SECONDS)]
            for _ in soak.run(soak.harsh(), SECONDS):
                pass
        finally:
            soak.end()
        verdict = pod.wait_settled(seconds=120).audit(twice)

    print(f"seed {SEED}, {verdict}\n{soak.done}\n{looks[0]}\n{looks[-1]}")
    verdict.require_at_least_once()
    assert (verdict.duplicates, verdict.inversions) == (0, 0), verdict
    assert len(looks) >= 12, "too few rounds to see what grows"
    assert grown(looks) == [], looks


def test_T41_what_grows_is_seen() -> None:
    """The control: a leak of a descriptor and a goroutine each round, and of memory."""
    still = [Held(50 * MIB, 40 * MIB, 40, 60.0) for _ in range(30)]
    assert grown(still) == []
    leaks = [
        Held(h.bridge + n * 3 * MIB, h.runner, h.descriptors + n, h.goroutines + 2 * n)
        for n, h in enumerate(still)
    ]
    assert len(grown(leaks)) == 3
