"""The newcomer's session from README, from the wheel, in an empty virtual environment without Go on the PATH."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.providers.ports import free_port

from .shell import Shell, terminate

ROOT = Path(__file__).parents[2]
ROW = {"flight_id": "1", "carrier": "UA", "origin": "JFK", "distance": 1400, "dep_delay": 12}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], check=True
    )
    (built,) = folder.glob("ds_runner-*.whl")
    return built


@pytest.fixture(scope="module")
def project(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """An empty environment with the wheel, and the flights project made and installed in it."""
    home = tmp_path_factory.mktemp("newcomer")
    subprocess.run([sys.executable, "-m", "venv", home / "venv"], check=True)
    shell = Shell(home, path=f"{home / 'venv' / 'bin'}:/usr/bin:/bin")
    shell.run("pip", "install", "-q", f"{wheel}[frames]", "pytest", seconds=500)
    assert shell.run("sh", "-c", "command -v go || echo none").out.strip() == "none"
    created = shell.run("ds-runner", "new", "my-flights", "--example", "flights", "--no-input")
    assert re.search(r"created my-flights/ \(\d+ files\)\. You edit my_flights/science\.py\.", created.out)
    shell.cd("my-flights")
    program = shell.folder / "program.yaml"
    program.write_text(program.read_text().replace("port: 8080", f"port: {free_port()}"))
    shell.run("pip", "install", "-q", "-e", ".", seconds=500)
    shell.run("ds-runner", "train")
    yield shell


@pytest.fixture(scope="class")
def up(project: Shell) -> Iterator[Shell]:
    """`ds-runner up` in the background, HTTP on a free port."""
    process = project.start("ds-runner", "up")
    project.wait_for((project.folder / ".ds-runner/bridge.json").exists)
    running = json.loads((project.folder / ".ds-runner/bridge.json").read_text())
    project.url = f"http://{running['http']}"
    project.wait_ready(process)
    yield project
    terminate(process)
    assert process.returncode == 0, project.log()
    assert "not reached" not in project.log()  # its workers knew that the bridge was to end
    assert "Traceback" not in project.log()


def test_check_says_what_it_found(project: Shell) -> None:
    out = project.run("ds-runner", "check").out
    assert "ok  model FlightDelays[Departure -> Estimate], predict takes list[Departure]" in out
    assert re.search(r"ok  history [\d,]+ rows, 6 of 6 columns", out)
    assert "ok  answers do not depend on the batch" in out


def test_train_beats_the_mean_and_saves_a_new_version(project: Shell) -> None:
    out = project.run("ds-runner", "train").out
    match = re.search(
        r"fit ([\d,]+) rows in [\d.]+ s, validation rmse ([\d.]+) \(mean baseline ([\d.]+)\), "
        r"saved models/my-flights/(\d+) \(latest -> (\d+)\)",
        out,
    )
    assert match, out
    assert float(match[2]) < float(match[3]) / 2
    assert match[4] == match[5]


def test_predict_needs_no_server(project: Shell) -> None:
    answer = json.loads(project.run("ds-runner", "predict", json.dumps(ROW)).out)
    assert answer["late"] is False or answer["late"] is True
    assert -60 < answer["arr_delay"] < 60


def test_replay_writes_a_ledger_and_the_golden_diff_is_clean(project: Shell) -> None:
    project.run("ds-runner", "replay", "data/departures.jsonl", "--output", "out.jsonl")
    ledger = [json.loads(line) for line in (project.folder / "out.jsonl").read_text().splitlines()]
    assert len(ledger) == 1000
    assert {entry["event"] for entry in ledger} == {f"departures/0/{i}" for i in range(1000)}
    project.run("ds-runner", "replay", "data/departures.jsonl", "--expect", "out.jsonl")


def test_a_changed_answer_is_explained_and_ends_with_1(project: Shell) -> None:
    project.run("ds-runner", "replay", "data/departures.jsonl", "--output", "golden.jsonl")
    golden = project.folder / "golden.jsonl"
    lines = [json.loads(line) for line in golden.read_text().splitlines()]
    entry = next(entry for entry in lines if entry["event"] == "departures/0/17")
    entry["outputs"][0]["arr_delay"] += 1.0
    golden.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = project.run("ds-runner", "replay", "data/departures.jsonl", "--expect", "golden.jsonl", code=1)
    assert "departures/0/17" in done.text
    assert "arr_delay" in done.text


def test_score_batch_scores_the_whole_history(project: Shell) -> None:
    project.run(
        "ds-runner",
        "score-batch",
        "--input",
        "data/history.parquet",
        "--output",
        "scored.parquet",
        seconds=120,
    )
    assert (project.folder / "scored.parquet").stat().st_size > 10_000


def test_evaluate_models_config_and_doctor_answer(project: Shell) -> None:
    assert "rmse" in project.run("ds-runner", "evaluate").out
    assert "latest" in project.run("ds-runner", "models", "list").out
    assert "sha256" in project.run("ds-runner", "models", "show", "1").out
    project.run("ds-runner", "models", "alias", "champion", "1")
    assert "departures" in project.run("ds-runner", "config").out
    assert "ds-bridge" in project.run("ds-runner", "doctor").out


def test_the_programs_own_cli_has_the_same_commands(project: Shell) -> None:
    assert "score-stream" in project.run("my-flights", "--help").out
    assert "rmse" in project.run("my-flights", "evaluate").out


def test_a_command_of_the_users_own(project: Shell) -> None:
    own = '\n\n@command\ndef carriers(limit: int = 2) -> None:\n    """Carriers."""\n    print(\'first\', limit)\n'
    with (
        project.edited("my_flights/science.py", "Params, Reject\n", "Params, Reject, command\n"),
        project.edited("my_flights/science.py", "late=delay > 15)\n", "late=delay > 15)\n" + own),
    ):
        assert project.run("my-flights", "carriers", "--limit", "3").out == "first 3\n"
        assert "carriers" in project.run("my-flights", "--help").out


def test_the_shell_completes_verbs(project: Shell) -> None:
    assert "complete" in project.run("bash", "-c", "ds-runner --show-completion; true").out


def test_what_programs_read_is_json(project: Shell) -> None:
    for command in (
        ("replay", "data/departures.jsonl", "--json"),
        ("evaluate", "--json"),
        ("models", "list", "--json"),
        ("models", "show", "--json"),
        ("config", "--json"),
        ("doctor", "--json"),
        ("check", "--json"),
        ("version", "--json"),
    ):
        json.loads(project.run("ds-runner", *command).out)


def test_a_version_can_be_pinned(project: Shell) -> None:
    assert json.loads(project.run("ds-runner", "predict", json.dumps(ROW), "--model", "1").out)
    done = project.run("ds-runner", "predict", json.dumps(ROW), "--model", "99", code=2)
    assert "no model 99 of my-flights in models/. Versions: 1" in done.text


def test_one_event_is_replayed_by_its_id(project: Shell) -> None:
    done = project.run("ds-runner", "replay", "data/departures.jsonl", "--only", "departures/0/17", "--json")
    assert json.loads(done.out)["events"] == 1


class TestWhileItRuns:
    """What a second terminal does beside `ds-runner up`."""

    def test_a_misspelt_field_is_told_by_every_way_in(self, up: Shell) -> None:
        told = 'Departure has no field "dep_dealy", it is skipped. Did you mean dep_delay?'
        row = {name: value for name, value in ROW.items() if name != "dep_delay"}
        misspelt = json.dumps({**row, "dep_dealy": 12})
        (up.folder / "misspelt.jsonl").write_text(misspelt + "\n")
        assert told in up.run("ds-runner", "predict", misspelt).err
        assert told in up.run("ds-runner", "replay", "misspelt.jsonl").err
        assert (
            told in up.run("ds-runner", "score-batch", "--input", "misspelt.jsonl", "--output", "s.jsonl").err
        )
        said = json.dumps(told)[1:-1]
        before = up.log().count(said)
        assert json.loads(up.run("curl", "-sf", f"{up.url}/predict", "-d", misspelt).out) == {
            "rejected": "cancelled flight"
        }
        up.wait_for(lambda: up.log().count(said) == before + 1)
        up.run("ds-runner", "publish", "departures", "misspelt.jsonl")
        up.wait_for(lambda: up.log().count(said) == before + 2)

    def test_a_second_up_is_refused(self, up: Shell) -> None:
        done = up.run("ds-runner", "up", code=2)
        assert "a bridge of this project is running already" in done.text

    def test_workers_join_the_bridge_as_in_a_pod(self, up: Shell) -> None:
        state = up.folder / ".ds-runner"
        wire = json.loads((state / "bridge.json").read_text())["wire"]
        before = up.log().count("worker ready")
        pod = up.start("ds-runner", "score-stream", "--bridge", wire, "--token-file", str(state / "token"))
        up.wait_for(lambda: up.log().count("worker ready") == before + 2)
        terminate(pod)
        assert pod.returncode == 0, up.log()

    def test_up_streams_serves_and_shows_dead_letters(self, up: Shell) -> None:
        up.run("ds-runner", "publish", "departures", "data/departures.jsonl", "--rate", "2000")
        bad = up.folder / "bad.jsonl"
        bad.write_text(json.dumps({**ROW, "carrier": "TOOLONG"}) + "\n")
        up.run("ds-runner", "publish", "departures", str(bad))
        cancelled = sum(
            json.loads(line).get("dep_delay") is None
            for line in (up.folder / "data/departures.jsonl").read_text().splitlines()
        )

        def estimates() -> int:
            return len(up.run("ds-runner", "tail", "estimates", "-n", "2000").out.splitlines())

        deadline = time.monotonic() + 120
        while estimates() < 1000 - cancelled and time.monotonic() < deadline:
            time.sleep(0.2)
        assert estimates() == 1000 - cancelled
        while "departures.dead  1 event of departures" not in (
            listing := up.run("ds-runner", "dead", "list").out
        ):
            assert time.monotonic() < deadline, listing
        shown = up.run("ds-runner", "dead", "show", "departures.dead", "1").out
        assert "carrier" in shown
        assert "TOOLONG" in shown

    def test_curl_without_a_content_type_gets_the_same_answer(self, up: Shell) -> None:
        served = json.loads(up.run("curl", "-sf", f"{up.url}/predict", "-d", json.dumps(ROW)).out)
        assert served == json.loads(up.run("ds-runner", "predict", json.dumps(ROW)).out)

    def test_a_wrong_field_over_http_names_field_value_and_type(self, up: Shell) -> None:
        request = urllib.request.Request(
            f"{up.url}/predict", data=json.dumps({**ROW, "dep_delay": "twelve"}).encode()
        )
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=60)
        assert error.value.code == 422
        assert error.value.headers["content-type"] == "application/problem+json"
        told = json.loads(error.value.read())
        assert told["errors"] == [{"field": "dep_delay", "got": "twelve", "expected": "number or null"}]
        assert (told["status"], told["code"]) == (422, "invalid_event")


def test_dead_letters_are_replayed_after_a_fix(project: Shell) -> None:
    """The model raises on one event; it is dead-lettered, the file is edited under `up --reload`, the letter replayed."""
    bug = (
        "if e.dep_delay is None:",
        "if e.flight_id == 'bug':\n            1 / 0\n        if e.dep_delay is None:",
    )
    event = json.dumps({**ROW, "flight_id": "bug"})
    (project.folder / "bug.jsonl").write_text(event + "\n")
    shutil.rmtree(project.folder / ".ds-runner", ignore_errors=True)
    with project.edited("my_flights/science.py", *bug):
        process = project.start("ds-runner", "up", "--reload")
        try:
            project.wait_for(lambda: (project.folder / ".ds-runner/bridge.json").exists())
            project.run("ds-runner", "publish", "departures", "bug.jsonl")
            project.wait_for(lambda: "exception 1" in project.run("ds-runner", "dead", "list").out)
            shown = project.run("ds-runner", "dead", "show", "departures.dead", "1").out
            event_id = shown.split()[0]
            assert "ZeroDivisionError" in shown
            assert 'science.py", line' in shown
            assert "pyrunner/" not in shown  # from the user's frame on
            assert f"ds-runner replay --only {event_id} --pdb" in project.log()
            failed = project.run("ds-runner", "replay", "--only", event_id)
            assert "ZeroDivisionError" in failed.err
            science = project.folder / "my_flights/science.py"
            science.write_text(science.read_text().replace(bug[1], bug[0]))
            changed = "changed: my_flights/science.py"
            # Not before workers with the new code are there, which start when the last one with the old code has ended.
            project.wait_for(
                lambda: "worker ready" in project.log().partition(changed)[2].partition("draining")[2]
            )
            project.run("ds-runner", "dead", "replay", "departures.dead", "--all")
            project.wait_for(
                lambda: project.run("ds-runner", "tail", "estimates").out.count("arr_delay") == 1
            )
            assert "0 events of departures" in project.run("ds-runner", "dead", "list").out
        finally:
            terminate(process)
    assert process.returncode == 0, project.log()


class TestMistakes:
    """Each answer names the place and the fix; exit code 2; no traceback of ours."""

    def test_a_stream_that_is_not_declared(self, project: Shell) -> None:
        with project.edited("program.yaml", "input: departures", "input: departure"):
            done = project.run("ds-runner", "check", code=2)
        assert re.search(
            r'program\.yaml:\d+:\d+ commands\.score-stream\.input: no stream "departure"\. '
            r"Declared: departures, estimates\. Did you mean departures\?",
            done.text,
        )
        assert "Traceback" not in done.text

    def test_a_predict_that_loses_rows(self, project: Shell) -> None:
        with project.edited(
            "my_flights/science.py", "for e in events]", "for e in events if e.flight_id != '17']"
        ):
            done = project.run("ds-runner", "check", code=2)
        assert re.search(
            r"science\.py:\d+ FlightDelays\.predict returned \d+ rows? for \d+ events?", done.text
        )
        assert "Return Reject for rows you cannot score." in done.text

    def test_no_trained_model(self, project: Shell) -> None:
        models = project.folder / "models"
        models.rename(project.folder / "models.away")
        try:
            done = project.run("ds-runner", "serve-api", code=2)
        finally:
            (project.folder / "models.away").rename(models)
        assert "serve-api: no trained model for my-flights in models/. Run: ds-runner train" in done.text

    def test_a_model_that_was_trained_with_another_type(self, project: Shell) -> None:
        with (
            project.edited("my_flights/science.py", "distance: Annotated[float,", "distance: Annotated[str,"),
            project.edited("my_flights/science.py", "Field(gt=0, ", "Field("),
        ):
            done = project.run("ds-runner", "predict", json.dumps(ROW), code=2)
        assert re.search(
            r"model \d+ was trained with distance: float64, the class now has str\. Retrain: ds-runner train",
            done.text,
        )

    def test_an_exception_of_the_users_own(self, project: Shell) -> None:
        with project.edited(
            "my_flights/science.py", "if e.dep_delay is None:", "if e.carrier == 'ZZ' or 1 / 0:"
        ):
            done = project.run("ds-runner", "replay", "data/departures.jsonl", "--only", "departures/0/17")
        assert "dead: departures/0/17 exception: ZeroDivisionError: division by zero" in done.err
        assert "ds-runner replay data/departures.jsonl --only departures/0/17 --pdb" in done.err
        assert "pyrunner/" not in done.err

    def test_a_port_that_is_taken(self, project: Shell) -> None:
        program = (project.folder / "program.yaml").read_text()
        port = re.search(r"port: \d+", program)
        assert port
        with (
            socket.create_server(("127.0.0.1", 0)) as taken,
            project.edited("program.yaml", port[0], f"port: {taken.getsockname()[1]}"),
        ):
            done = project.run("ds-runner", "serve-api", code=3)
        assert "set another port: commands.serve-api.port in program.yaml" in done.text

    def test_an_address_and_a_token_that_are_none(self, project: Shell) -> None:
        (project.folder / "short").write_text("short")
        where = ("--bridge", "tcp://127.0.0.1:1", "--token-file", "short")
        assert "short is no token file" in project.run("ds-runner", "score-stream", *where, code=2).text
        nowhere = ("--bridge", "nonsense", "--token-file", "short")
        assert "Write tcp://host:port" in project.run("ds-runner", "score-stream", *nowhere, code=2).text
