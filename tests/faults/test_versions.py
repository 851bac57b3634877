"""Models that are replaced while they serve, and versions whose writer dies half-way (T39)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from pyrunner.models import ModelStore
from pyrunner.models.manifest import check_files

from .rig import Rig, wait_until
from .science import FITTED

SAVE = """\
import os, sys
import rig_science
from pathlib import Path
from pyrunner.models import ModelStore

left = int(sys.argv[2])
CHANGES = {"open", "os.mkdir", "os.rename", "os.chmod", "os.remove"}

def die_at(event, args):
    global left
    changes = event in CHANGES and "models" in str(args[0]) and (event != "open" or "w" in str(args[1]) or args[2] & 1)
    left -= changes
    if changes and left == 0:
        os._exit(9)

model = rig_science.Fitted().fit(float(sys.argv[1]))
sys.addaudithook(die_at)
ModelStore(Path("models")).save("rig", model)
"""


def save(pod: Rig, factor: float, dies_at: int = 0) -> int:
    """Save a model that multiplies by that; the process ends itself before its nth change to the folder, if asked to."""
    command = [sys.executable, "-c", SAVE, str(factor), str(dies_at)]
    return subprocess.run(command, cwd=pod.folder, env=pod.environment).returncode


def test_T39_a_version_whose_writer_dies_at_any_step_is_no_version(rig: Callable[..., Rig]) -> None:
    pod = rig(FITTED, model="Fitted", workers=1)
    assert save(pod, 2.0) == 0
    store, step = ModelStore(pod.folder / "models"), 0
    while save(pod, 3.0, dies_at=(step := step + 1)) == 9:
        for version in (store.version("rig"), *store.list("rig")):
            check_files(version.manifest, version.path)
    assert step >= 6, "the writer changed the folder in so few steps: where are they?"
    serve(pod, 100)
    assert set(answered(pod).values()) == {(store.version("rig").version, 3.0)}


def serve(pod: Rig, events: int) -> None:
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1, events + 1))
    wait_until(lambda: len(answered(pod)) == events, seconds=120, what="all to be answered")


def answered(pod: Rig) -> dict[str, tuple[str, float]]:
    """The model version in the header of each event's result, and the factor by which it was multiplied."""
    found: dict[str, tuple[str, float]] = {}
    after = ""
    while True:
        records, after = pod.call("tail", "answers", after, 5_000, 0)  # type: ignore[misc]
        if not records:
            return found
        found |= dict(map(of, records))


def of(record: Any) -> tuple[str, tuple[str, float]]:
    answer = json.loads(record[4])
    headers = dict(zip(record[5][::2], record[5][1::2], strict=True))
    n = int(answer["id"].rsplit("-", 1)[1])
    return answer["id"], (headers["ds-model"].decode(), answer["value"] / n)


def test_T39_a_model_that_is_replaced_under_load_answers_with_its_version_and_loses_nothing(
    rig: Callable[..., Rig],
) -> None:
    """The old one serves until the new one is ready; each result names the version that made it."""
    pod = rig(FITTED, model="Fitted", workers=1)
    factors = {"1": 2.0, "2": 3.0, "3": 5.0}
    assert save(pod, 2.0) == 0
    pod.start_bridge()
    pod.start_runner()
    stop, published = threading.Event(), 0

    def publish() -> None:
        nonlocal published
        while not stop.wait(0.02):
            first, published = published + 1, published + 100
            pod.publish({"id": f"p{n % 7}-{n}", "n": n} for n in range(first, published + 1))

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    for version, factor in factors.items():
        if version != "1":
            assert save(pod, factor) == 0
            replace(pod, version)
        enough = pod.status()["scored"] + 500
        wait_until(
            lambda enough=enough: pod.status()["scored"] > enough, seconds=30, what=f"results of {version}"
        )
    stop.set()
    publisher.join(90)
    assert not publisher.is_alive()

    made = {}

    def answer(event: str) -> float:
        return int(event.rsplit("-", 1)[1]) * factors[made[event]]

    pod.wait_settled(seconds=150)
    made |= {event: version for event, (version, _) in answered(pod).items()}
    verdict = pod.collect().audit(answer)
    print(verdict)
    verdict.require_at_least_once()
    assert (verdict.duplicates, verdict.dead, verdict.inversions) == (0, 0, 0), verdict
    assert set(made.values()) == set(factors)
    assert all(factors[version] == factor for version, factor in answered(pod).values())


def replace(pod: Rig, version: str) -> None:
    """A new runner beside the old one, which ends when the new one is ready: it may have all keys until then."""
    old = pod.runner
    assert old is not None
    pod.start_runner()
    wait_until(lambda: len(pod.status()["workers"]) == 2, seconds=120, what=f"version {version} to be ready")
    old.send_signal(signal.SIGTERM)
    assert old.wait(90) == 0
