"""What the verbs print when all is well."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from typer.testing import CliRunner

from pyrunner.cli import program_app

from .conftest import ROW, Numberless, Shell


def test_check(shell: Shell) -> None:
    said = shell("check")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "  ok  model FlightDelays[Departure -> Estimate], predict takes list[Departure]\n"
        "  ok  history 300 rows, 6 of 6 columns\n"
        "  ok  validation 100 rows, 6 of 6 columns\n"
        "  ok  answers do not depend on the batch\n"
        "  ok  6 commands: train, score-stream, serve-api, evaluate, score-batch, replay\n"
        "  ok  3 streams: departures, estimates, departures.dead\n"
    )
    assert all(f["ok"] for f in json.loads(shell("check", "--json").out))


def test_answers_that_depend_on_the_batch_are_exit_code_1(shell: Shell) -> None:
    shell.edit(
        "my_flights/science.py",
        "self.estimate(e) for e in events",
        "self.ranked(e, len(events)) for e in events",
    )
    shell.edit(
        "my_flights/science.py",
        "    def estimate(",
        "    def ranked(self, e: Departure, n: int) -> Estimate | Reject:\n"
        "        return Estimate(arr_delay=float(n), late=False)\n\n    def estimate(",
    )
    said = shell("check")
    assert said.code == 1
    assert "no  row 0 is" in said.out
    assert "batch_dependent = True" in said.out


def test_train_evaluate_and_models(shell: Shell, numberless: Numberless) -> None:
    said = shell("train")
    assert (said.code, numberless(said.out)) == (
        0,
        "fit N rows in N s, validation rmse N (mean baseline N), saved models/my-flights/N (latest -> N)\n",
    )
    assert "fit 300 rows" in said.out
    assert numberless(shell("evaluate").out) == "model N: rmse N (mean baseline N) over N rows, N left out\n"
    assert json.loads(shell("train", "--json").out)["version"] == "2"
    assert shell("models", "alias", "champion", "1").out == "champion -> 1\n"
    first, second = shell("models", "list").out.splitlines()
    assert first.split()[:2] == ["1", "champion"]
    assert second.split()[:2] == ["2", "latest"]
    assert "files (sha256)" in shell("models", "show", "champion").out
    assert json.loads(shell("models", "show", "1", "--json").out)["files"]
    assert shell("models", "show", "7").code == 2


def test_params_and_seed_are_recorded(shell: Shell) -> None:
    shell("train", "--param", "shrink=0", "--seed", "7")
    manifest = json.loads(shell("models", "show", "--json").out)
    assert (manifest["params"], manifest["seed"]) == ({"shrink": 0.0}, 7)
    assert manifest["config_hash"]


@pytest.mark.parametrize("given", ["argument", "stdin", "file"])
def test_predict_one_event(trained: Shell, given: str) -> None:
    (trained.folder / "row.json").write_text(ROW)
    argument = {"argument": ROW, "stdin": "-", "file": "@row.json"}[given]
    said = trained("predict", argument, stdin=ROW)
    assert said.code == 0
    assert set(json.loads(said.out)) == {"arr_delay", "late"}


def test_predict_many_gives_positions(trained: Shell) -> None:
    rows = [ROW, ROW.replace("12}", "null}"), "3"]
    for text in ("[" + ", ".join(rows) + "]", "\n".join(rows)):
        said = trained("predict", "-", stdin=text)
        answer = json.loads(said.out)
        assert said.code == 2
        assert [p is None for p in answer["predictions"]] == [False, True, True]
        assert [e is None for e in answer["errors"]] == [True, False, False]
        assert answer["errors"][1] == {"rejected": "cancelled flight"}
        assert said.err == "row 2: event: got 3, expected object\n"


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_score_batch_writes_every_format_with_the_same_answers(trained: Shell, ending: str) -> None:
    output = trained.folder / f"scored.{ending}"
    said = trained(
        "score-batch",
        "--input",
        "data/history.parquet",
        "--output",
        output.name,
        "--rejects",
        "rejects.jsonl",
    )
    assert said.code == 0
    assert "scored 300 rows" in said.out
    assert "294 outputs in scored" in said.out
    assert ", 6 rejected, 0 failed\n" in said.out
    scored = _rows(output)
    assert len(scored) == 294
    assert scored[0].keys() == {"flight_id", "arr_delay", "late", "_input_row"}
    assert [str(r["flight_id"]) for r in scored] == [str(r["_input_row"]) for r in scored]
    rejects = [json.loads(line) for line in (trained.folder / "rejects.jsonl").read_text().splitlines()]
    assert [r["_input_row"] for r in rejects] == [49, 99, 149, 199, 249, 299]
    assert {r["fate"] for r in rejects} == {"rejected"}
    one = json.loads(trained("predict", json.dumps(_event(7))).out)
    assert scored[7]["arr_delay"] == pytest.approx(one["arr_delay"])


def test_score_batch_leaves_nothing_behind_when_it_fails(trained: Shell) -> None:
    parquet.write_table(pa.table({"flight_id": ["1"]}), trained.folder / "short.parquet")
    said = trained("score-batch", "--input", "short.parquet", "--output", "o.parquet")
    assert said.code == 2
    assert "short.parquet has no column carrier, which Departure declares" in said.err
    assert not list(trained.folder.glob("*o.parquet*"))


def test_config_tells_the_origin_of_each_value(shell: Shell) -> None:
    lines = {line.split()[0]: line.split(None, 2) for line in shell("config").out.splitlines()}
    assert lines["commands.score-stream.workers"][1:] == ["2", "program.yaml:17:75"]
    assert lines["commands.score-stream.order"][1:] == ["key", "default"]
    assert lines["params.shrink"][1:] == ["50", "program.yaml:6:20"]
    assert json.loads(shell("config", "--json").out)["program"]["metadata"] == {"name": "my-flights"}


def test_schema(shell: Shell) -> None:
    assert set(json.loads(shell("schema", "input").out)["properties"]) >= {"flight_id", "dep_delay"}
    assert set(json.loads(shell("schema", "output").out)["properties"]) == {"arr_delay", "late"}
    assert json.loads(shell("schema", "program").out)["$schema"]


def test_a_command_of_the_users_own(shell: Shell) -> None:
    assert shell("busiest").out == "my-flights UA\n"
    assert shell("busiest", "--top", "2").out.startswith("my-flights UA ")
    assert "The carriers with the most flights." in shell("busiest", "--help").out


def test_the_programs_own_cli_has_the_same_verbs_and_its_own(
    trained: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = program_app("my_flights")
    monkeypatch.chdir(trained.folder / "data")
    help_text = CliRunner().invoke(cli, ["--help"]).output
    for verb in ("train", "score-stream", "replay", "busiest"):
        assert verb in help_text
    assert "rmse" in CliRunner().invoke(cli, ["evaluate"]).output
    assert CliRunner().invoke(cli, ["busiest"]).output == "my-flights UA\n"


def test_the_programs_own_cli_does_not_take_another_program_for_its_own(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "program.yaml").write_text("spec: {model: other.science:Model}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(shell.folder))
    assert CliRunner().invoke(program_app("my_flights"), ["busiest"]).output == "my-flights UA\n"


def test_every_verb_explains_itself(shell: Shell) -> None:
    listed = shell("--help").out
    for verb in [
        "new",
        "check",
        "train",
        "evaluate",
        "predict",
        "replay",
        "up",
        "publish",
        "tail",
        "sample",
        "record",
        "dead",
        "pause",
        "resume",
        "seek",
        "shadow",
        "roll",
        "score-stream",
        "serve-api",
        "score-batch",
        "audit",
        "models",
        "config",
        "schema",
        "manifest",
        "doctor",
        "version",
    ]:
        assert f"  {verb} " in listed
        assert shell(verb, "--help").code == 0
    assert "..." not in listed.replace("[ARGS]...", "")
    assert shell("stream-score", "--help").code == 0
    assert "Exit codes: 0 done" in listed


def test_every_verb_is_in_the_documentation(shell: Shell) -> None:
    page = (Path(__file__).parents[3] / "docs" / "commands.md").read_text()
    verbs = shell("--help").out.partition("Commands:")[2].partition("Exit codes")[0].splitlines()
    for verb in (line.split()[0] for line in verbs if line.strip()):
        assert f"`{verb}" in page, verb


def _rows(path: Path) -> list[dict[str, object]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    table = parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path)
    return list(table.to_pylist())


def _event(row: int) -> dict[str, object]:
    table = parquet.read_table("data/history.parquet").slice(row, 1).to_pylist()[0]
    return {k: v for k, v in table.items() if k != "arr_delay"}
