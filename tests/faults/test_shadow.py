"""A shadow is in nobody's way: whatever its model does, the command's own events are scored, stored and committed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyrunner.client import CallError, Calls, Dialler, Identity
from pyrunner.protocol import Role

from .programs import program
from .rig import Rig, wait_until
from .science import HEADER, twice

MOODY = (
    HEADER
    + """

class Moody(Model[Number, Answer]):
    def fit(self, factor: float, mood: str = "") -> "Moody":
        self.factor, self.mood = factor, mood
        return self

    def warm_up(self) -> None:
        if self.mood == "unloadable":
            raise RuntimeError("weights are missing")

    def predict(self, events: list[Number], *, ctx) -> list[Answer]:
        if self.mood == "crashing":
            os._exit(3)
        if self.mood == "hanging":
            time.sleep(3600)
        if self.mood == "slow":
            time.sleep(5)
        if self.mood == "writing":
            for e in events:
                ctx.publish("answers", {"id": "from-the-shadow-1", "value": 0.0})
        return [Answer(id=e.id, value=e.n * self.factor) for e in events]
"""
)

SAVE = """
import sys, rig_science
from pathlib import Path
from pyrunner.models import ModelStore
name, factor, mood = sys.argv[1:]
store = ModelStore(Path("models"))
store.save(name, rig_science.Moody().fit(float(factor), mood), aliases=())
store.save(name, rig_science.Moody().fit(2.0))
"""


def shadowed(rig: Callable[..., Rig], factor: float, mood: str = "", queue: int = 8192) -> Rig:
    """A rig whose model doubles (version 2, the latest), with a shadow (version 1) of another factor and mood."""
    text = program("embedded:", more=f", shadow: 1, shadow_queue: {{events: {queue}}}, batch: {{events: 64}}")
    pod = rig(MOODY, model="Moody", workers=1, deadline="20s", program=text)
    name = text.split("metadata: {{name: ")[1].split("}")[0]
    command = [sys.executable, "-c", SAVE, name, str(factor), mood]
    subprocess.run(command, cwd=pod.folder, env=pod.environment, check=True)
    pod.start_bridge()
    pod.start_runner()
    return pod


def numbers(n: int) -> Iterator[dict[str, object]]:
    return ({"id": f"a-{i}", "n": i} for i in range(n))


def shadow(pod: Rig) -> dict[str, Any]:
    found: dict[str, Any] = pod.status()["shadow"]
    return found


def test_a_shadow_says_how_often_and_how_far_it_differs(rig: Callable[..., Rig]) -> None:
    pod = shadowed(rig, 2.5)
    pod.publish(numbers(1_000))
    pod.wait_settled(seconds=150).audit(twice).require_at_least_once()
    wait_until(lambda: shadow(pod)["compared"] == 1_000, seconds=120, what="all to be compared")

    told = shadow(pod)
    assert (told["model"], told["models"], told["workers"]) == ("1", ["1"], 1)
    assert (told["differing"], told["dropped"], told["queued"]) == (999, 0, 0)  # 0 times 2.5 is 0 times 2
    [value] = told["fields"]
    assert (value["field"], value["differs"], value["max"]) == ("value", 999, 499.5)
    assert value["mean"] == pytest.approx(sum(n * 0.5 for n in range(1_000)) / 999)
    assert told["fates"] == [{"primary": "scored", "shadow": "scored", "events": 1_000}]

    examples = json.loads(pod.call("shadow"))["score-stream"]["fields"][0]["examples"]
    assert (examples[0]["primary"], examples[0]["shadow"]) == (1998.0, 2497.5)
    assert (examples[0]["primary_model"], examples[0]["shadow_model"]) == ("2", "1")
    assert pod.metric("ds_shadow_compared_total", command="score-stream") == 1_000
    assert pod.metric("ds_shadow_differs_total", field="value") == 999
    assert pod.status()["models"] == ["2"], "the shadow's worker is none of the command's"
    assert "2497.5" not in pod.log("bridge") + pod.log("runner")

    pod.kill_bridge()
    pod.publish({"id": f"b-{n}", "n": n} for n in range(100))
    wait_until(
        lambda: shadow(pod)["compared"] >= 100, seconds=30, what="the shadow to come back to a new bridge"
    )
    pod.wait_settled(seconds=150).audit(twice).require_at_least_once()


@pytest.mark.parametrize("mood", ["crashing", "hanging", "slow", "unloadable"])
def test_whatever_a_shadow_does_the_command_scores_stores_and_commits_everything(
    rig: Callable[..., Rig], mood: str
) -> None:
    pod = shadowed(rig, 2.0, mood, queue=200)
    wait_until(lambda: pod.status()["ready"], seconds=120, what="the command to be ready")
    began = time.monotonic()
    for _ in range(3):  # one after the other, so that the shadow has had its time to be in the way
        pod.publish(numbers(1_500))
        time.sleep(0.3)
    settled = pod.wait_settled(seconds=150)
    took = time.monotonic() - began
    verdict = settled.audit(twice)
    verdict.require_at_least_once()
    assert verdict.dead == 0
    wait_until(lambda: pod.status()["lag"] == 0, seconds=120, what="the lag to be looked at again")
    now = pod.status()
    assert (now["state"], now["ready"], now["unsettled"], now["lag"]) == ("running", True, 0, 0)
    assert (now["scored"], now["redelivered"], now["worker_deaths"]) == (4_500, 0, 0)
    assert took < 100, "the command waits for its shadow"  # slow, it takes 350 s for all of them
    assert shadow(pod)["dropped"] >= 3_000
    assert shadow(pod)["queued"] <= 200
    assert pod.runner is not None and pod.runner.poll() is None

    began = time.monotonic()
    pod.stop_runner()
    pod.stop_bridge()
    assert time.monotonic() - began < 10, "the end waits for the shadow"


def test_a_shadow_whose_workers_are_killed_comes_back_and_the_command_notices_nothing(
    rig: Callable[..., Rig],
) -> None:
    pod = shadowed(rig, 2.0)
    killed = 0
    for round in range(3):
        pod.publish({"id": f"{round}-{n}", "n": n} for n in range(500))
        killed = other_worker(pod, killed)
        os.kill(killed, signal.SIGKILL)
    pod.wait_settled(seconds=150).audit(twice).require_at_least_once()
    wait_until(lambda: shadow(pod)["compared"] == 1_500, seconds=120, what="all to be compared")
    assert shadow(pod)["differing"] == 0
    assert pod.status()["worker_deaths"] == 0


def test_what_a_shadow_writes_goes_nowhere(rig: Callable[..., Rig]) -> None:
    pod = shadowed(rig, 2.0, "writing")
    pod.publish(numbers(500))
    verdict = pod.wait_settled(seconds=150).audit(twice)
    wait_until(lambda: shadow(pod)["compared"] == 500, seconds=120, what="all to be compared")
    assert shadow(pod)["dropped_writes"] > 0
    verdict = pod.collect().audit(twice)
    verdict.require_at_least_once()
    assert verdict.out == 500, "the shadow has written"

    identity = Identity(str(pod.status()["program"]), "score-stream/shadow", "stray", 0)
    calls = Calls(Dialler(f"tcp://127.0.0.1:{pod.port}", pod.token, Role.CALLS, identity, _Quiet()))
    calls.start()
    try:
        with pytest.raises(CallError, match="a shadow only reads") as refused:
            calls.call("publish", "answers", [[b"{}", None]])
        assert refused.value.code == "shadow"
    finally:
        calls.close()


def other_worker(pod: Rig, than: int) -> int:
    """The process of the shadow's worker, when it is another."""
    wait_until(lambda: bool(set(shadow_pids(pod)) - {than}), seconds=120, what="a worker of the shadow")
    return next(iter(set(shadow_pids(pod)) - {than}))


def shadow_pids(pod: Rig) -> list[int]:
    """The processes that the runner has for the shadow."""
    assert pod.runner is not None
    children = subprocess.run(
        ["pgrep", "-P", str(pod.runner.pid), "-f", "--", "--shadow score-stream/shadow"],
        capture_output=True,
        text=True,
    )
    return [int(pid) for pid in children.stdout.split()]


class _Quiet:
    def info(self, event: str, **values: object) -> None: ...

    def warning(self, event: str, **values: object) -> None: ...
