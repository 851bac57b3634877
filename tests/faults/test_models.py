"""Models, streams and secrets: what is damaged is refused, what is made again is read again, what is secret stays so (T39, T40, T46)."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from .rig import PROGRAM, Rig, wait_until
from .science import DOUBLE, FITTED, TREACHEROUS, twice

SAVE = (
    "import rig_science; from pathlib import Path; from pyrunner.models import ModelStore; "
    "ModelStore(Path('models')).save('rig', rig_science.Fitted().fit(2.0))"
)


def test_T39_a_model_whose_file_has_changed_is_refused_and_the_one_that_serves_goes_on(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(FITTED, model="Fitted", workers=1)
    subprocess.run([sys.executable, "-c", SAVE], cwd=pod.folder, env=pod.environment, check=True)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100))
    pod.wait_settled(seconds=150)
    files = [f for f in (pod.folder / "models").rglob("*") if f.is_file() and f.suffix not in (".json", "")]
    for file in files:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100, 200))

    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead) == (200, 0), verdict

    pod.stop_runner()
    pod.start_runner()
    assert pod.runner is not None
    wait_until(lambda: "could not load its model" in pod.log("runner"), seconds=120, what="the refusal")
    assert pod.status()["state"] == "waiting"


def test_T40_no_log_and_no_metric_holds_the_token_or_a_payload(rig: Callable[..., Rig]) -> None:
    pod = rig(
        TREACHEROUS,
        model="Treacherous",
        workers=1,
        deadline="1s",
        environment={"DS_LOG_LEVEL": "debug"},
    )
    pod.start_bridge()
    pod.start_runner()
    with socket.create_connection(("127.0.0.1", pod.port)) as stranger:
        stranger.sendall(b"DSWIRE\r\n" + bytes(40))
    pod.poisons = {42, 1234}
    pod.publish({"id": f"payload4711-{n}", "n": n} for n in [*range(100), *range(1_200, 1_300)])
    pod.call("publish", "numbers", [[b'{"id": "payload4711-999", "n": "not a number"}', b"k"]])
    pod.ledger.attempted.add("payload4711-999")
    pod.ledger.poisons.add("payload4711-999")
    pod.wait_settled(seconds=150).audit(twice).require_at_least_once()
    metrics = pod.metrics()
    dead: Any = pod.call("tail", "numbers.dead", "", 100, 0)[0]  # type: ignore[index]
    letters = repr([record[5] for record in dead])  # their values are the payloads, and meant to be
    pod.stop_runner()
    pod.stop_bridge()

    token = pod.token.read_text().strip()
    assert dead and token not in letters
    for place, text in {"bridge": pod.log("bridge"), "runner": pod.log("runner"), "metrics": metrics}.items():
        assert token not in text, place
        assert "payload4711" not in text, place
    assert '"level":"DEBUG"' in pod.log("bridge")


def test_T46_a_stream_that_is_made_again_is_read_from_its_start(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100))
    pod.wait_settled(seconds=150)
    pod.stop_bridge()
    for folder in (pod.folder / "state").rglob("numbers"):
        if folder.is_dir():
            shutil.rmtree(folder)
    pod.start_bridge()
    pod.await_bridge()
    pod.publish({"id": f"b-{n}", "n": n} for n in range(100))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (200, 0, 0), verdict


def test_T46_a_second_command_on_the_same_output_has_results_of_its_own(rig: Callable[..., Rig]) -> None:
    second = "    - {{name: again, kind: score-stream, input: numbers, output: answers, order: {order}}}\n"
    pod = rig(DOUBLE, workers=1, program=PROGRAM + second, commands=("score-stream", "again"))
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100))
    pod.wait_settled(seconds=150)
    pod.stop_runner()
    pod.start_runner(command_name="again")
    wait_until(lambda: _results(pod) == 200, seconds=120, what="each event to be scored by both")


def _results(pod: Rig) -> int:
    records, _ = pod.call("tail", "answers", "", 1_000, 0)  # type: ignore[misc]
    return len([json.loads(record[4])["id"] for record in records])
