"""Every mistake gets an answer that names the place and the fix, exit code 2 and no traceback of ours."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from .conftest import ROW, Shell


def test_a_stream_that_is_not_declared(shell: Shell) -> None:
    shell.edit("program.yaml", "input: departures", "input: departure")
    for verb in ("check", "config", "train", "up", "serve-api"):
        said = shell(verb)
        assert (said.code, said.err) == (
            2,
            'program.yaml:17:35 commands.score-stream.input: no stream "departure". Declared: departures, estimates. '
            "Did you mean departures?\n",
        )


def test_a_predict_that_loses_rows(shell: Shell) -> None:
    shell.edit(
        "my_flights/science.py", "for e in events]", "for e in events if e.flight_id not in ('17', '99')]"
    )
    said = shell("check")
    assert said.code == 2
    assert (
        "  no  science.py:31 FlightDelays.predict returned 254 rows for 256 events (rows 17, 99 missing). "
        "Return Reject for rows you cannot score.\n"
    ) in said.out


@pytest.mark.parametrize(
    "verb", ["serve-api", "score-stream", "up", "replay", "predict", "evaluate", "score-batch"]
)
def test_no_trained_model(shell: Shell, verb: str) -> None:
    arguments = {
        "replay": ["data/events.jsonl"],
        "predict": [ROW],
        "score-batch": ["--input", "data/history.parquet", "--output", "o.csv"],
    }
    (shell.folder / "data" / "events.jsonl").write_text(ROW + "\n")
    said = shell(verb, *arguments.get(verb, []))
    assert (said.code, said.err) == (
        2,
        f"{verb}: no trained model for my-flights in models/. Run: ds-runner train\n",
    )


def test_a_model_that_was_trained_with_another_type(trained: Shell) -> None:
    trained.edit("my_flights/science.py", "distance: Annotated[float, Field(gt=0)]", "distance: str")
    said = trained("predict", ROW)
    assert said.code == 2
    assert said.err.startswith("model 1 was trained with distance: float64, the class now has str. Retrain")


def test_an_older_model_that_fits_is_named(trained: Shell) -> None:
    trained.edit("my_flights/science.py", "distance: Annotated[float, Field(gt=0)]", "distance: int")
    trained.edit("my_flights/science.py", "history: pd.DataFrame", "history: list")
    trained.edit(
        "my_flights/science.py",
        "        gain = (",
        "        self.gain_ = {}\n        return self\n        gain = (",
    )
    assert trained("train").code == 0
    trained.edit("my_flights/science.py", "distance: int", "distance: Annotated[float, Field(gt=0)]")
    said = trained("predict", ROW)
    assert said.code == 2
    assert (
        said.err
        == "model 2 was trained with distance: int64, the class now has float64. Retrain, or pin --model 1\n"
    )
    assert trained("predict", ROW, "--model", "1").code == 0


def test_a_field_of_the_wrong_type(trained: Shell) -> None:
    said = trained("predict", ROW.replace("12}", '"twelve"}'))
    assert (said.code, said.out, said.err) == (
        2,
        '{"errors": [{"field": "dep_delay", "got": "twelve", "expected": "number or null"}]}\n',
        'dep_delay: got "twelve", expected number or null\n',
    )


def test_a_misspelt_field_is_told_with_the_nearest_name(
    trained: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    assert (
        trained("predict", ROW.replace("dep_delay", "dep_dely")).out == '{"rejected": "cancelled flight"}\n'
    )
    assert 'Departure has no field "dep_dely", it is skipped. Did you mean dep_delay?' in caplog.text


def test_an_exception_of_the_users_is_shown_from_their_frame(trained: Shell) -> None:
    trained.edit("my_flights/science.py", "delay = e.dep_delay", "delay = 1 / 0 + e.dep_delay")
    for said in (trained("predict", ROW), trained("check")):
        assert said.code == 2
        assert "ZeroDivisionError: division by zero (science.py:37 in estimate)" in said.text
        assert "delay = 1 / 0 + e.dep_delay" in said.text
        assert "/pyrunner/" not in said.text
        assert said.text.count("Traceback") == 1


def test_an_exception_in_fit_is_shown_from_its_frame(shell: Shell) -> None:
    shell.edit(
        "my_flights/science.py", "        gain = (", "        raise KeyError('gain')\n        gain = ("
    )
    said = shell("train")
    assert said.code == 2
    assert said.err.startswith("train: FlightDelays raised\nTraceback (most recent call last):\n  File")
    assert "science.py" in said.err.splitlines()[2]
    assert said.err.endswith("KeyError: 'gain'\n")
    assert "no  FlightDelays.fit raised" in shell("check").out


def test_a_class_that_is_not_there(shell: Shell) -> None:
    shell.edit("program.yaml", "science:FlightDelays", "science:FlightDelay")
    assert shell("train").err == (
        'program.yaml:5:10 model: my_flights.science has no class "FlightDelay". '
        "It has: Departure, Estimate, FlightDelays. Did you mean FlightDelays?\n"
    )


def test_a_module_that_is_not_there(shell: Shell) -> None:
    shell.edit("program.yaml", "my_flights.science:", "my_flights.sience:")
    assert shell("train").err.startswith("program.yaml:5:10 model: no module my_flights.sience in ")


def test_a_model_file_that_cannot_be_read(shell: Shell) -> None:
    shell.edit("my_flights/science.py", "import pandas as pd", "import pandaz as pd")
    said = shell("train")
    assert said.code == 2
    assert said.err.startswith("program.yaml:5:10 model: my_flights.science cannot be imported\nTraceback")
    assert said.err.endswith("ModuleNotFoundError: No module named 'pandaz'\n")


def test_a_parameter_that_is_not_there(shell: Shell) -> None:
    assert 'no parameter "shrnk"' in shell("train", "--param", "shrnk=1").err
    assert "Did you mean shrink?" in shell("train", "--param", "shrnk=1").err


def test_all_mistakes_of_the_data_are_told_at_once(shell: Shell) -> None:
    (shell.folder / "data" / "validation.parquet").unlink()
    shell.edit("my_flights/science.py", "distance: Annotated[float, Field(gt=0)]", "miles: float")
    said = shell("check")
    assert said.code == 2
    assert "no  data/history.parquet has no column miles, which Departure declares. It has: " in said.out
    assert "no  no file data/validation.parquet." in said.out


def test_a_history_without_rows(shell: Shell) -> None:
    (shell.folder / "data" / "none.csv").write_text("flight_id,carrier,origin,distance,dep_delay,arr_delay\n")
    shell.edit("program.yaml", "history.parquet", "none.csv")
    assert "none.csv has no rows: there is nothing to fit" in shell("train").err


def test_a_replay_of_what_is_no_file_of_events(trained: Shell) -> None:
    said = trained("replay", "data/history.parquet")
    assert said.code == 2
    assert "ds-runner score-batch --input data/history.parquet" in said.err


def test_outside_a_project(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    said = shell("check")
    assert said.code == 2
    assert said.err == (
        f"no program.yaml in {tmp_path} or above. Go to your project's folder, name it with --program PATH, "
        "or make one: ds-runner new my-project\n"
    )
    assert shell("check", "--program", "my-flights").code == 0
    assert shell("check", "--program", "nowhere").code == 2


def test_no_bridge_is_running(shell: Shell) -> None:
    for command in (["tail", "estimates"], ["dead", "list"], ["publish", "departures", "-"]):
        said = shell(*command)
        assert (said.code, said.err) == (3, "no bridge is running for this project. Run: ds-runner up\n")


def test_a_port_of_grpc_that_is_taken(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        shell.edit("program.yaml", "port: 8080", f"port: 0, grpc_port: {port}")
        said = shell("doctor")
    assert f"127.0.0.1:{port} is not free" in said.text
    assert "Set another: serve-api grpc_port in program.yaml" in said.text


def test_an_unknown_verb_is_told_with_the_nearest(shell: Shell) -> None:
    said = shell("trian")
    assert said.code == 2
    assert "train" in said.err


def test_debug_shows_the_traceback(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_DEBUG", "0")  # so that it is put back
    with pytest.raises(Exception, match="no trained model"):
        shell("serve-api", "--debug")
