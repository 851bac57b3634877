"""Datasets that are queries, and ctx in train, evaluate, check, predict, score-batch and own commands."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import pyrunner
from pyrunner.testing import FakeBridge, FakeData
from tests.unit.cli.conftest import ROW, Shell

HISTORY = "select * from departures where day < :day"
VALIDATION = "select * from departures where day >= :day"


@pytest.fixture
def data(shell: Shell) -> FakeData:
    tables = {
        HISTORY: parquet.read_table(shell.folder / "data" / "history.parquet"),
        VALIDATION: parquet.read_table(shell.folder / "data" / "validation.parquet"),
    }

    def answer(sql: str, params: dict[str, Any]) -> Any:
        inner = sql.removeprefix("select count(*) as n from (").removesuffix("\n) as counted")
        assert params == {"day": "2013-10-01"}
        return tables[inner] if inner == sql else pa.table({"n": [tables[inner].num_rows]})

    return FakeData(sql=answer, kv={"features": {"UA": b"100"}})


@pytest.fixture
def asking(shell: Shell, data: FakeData) -> Iterator[Shell]:
    """A project whose datasets are queries and whose model asks for features; its bridge runs."""
    queries = "".join(
        f'    {name}: {{connection: warehouse, query: "{sql}", params: {{day: "2013-10-01"}}}}\n'
        for name, sql in (("history", HISTORY), ("validation", VALIDATION))
    )
    shell.edit(
        "program.yaml",
        "    history:    {path: data/history.parquet}\n    validation: {path: data/validation.parquet}\n",
        queries,
    )
    shell.edit(
        "program.yaml",
        '    events: {url: "embedded:"}\n',
        '    events: {url: "embedded:"}\n    features: {url: "redis://db"}\n    warehouse: {url: "postgres://db/flights"}\n',
    )
    shell.edit(
        "my_flights/science.py",
        "    def predict(self, events: list[Departure]) -> list[Estimate | Reject]:\n        return [self.estimate(e) for e in events]\n",
        "    def predict(self, events: list[Departure], *, ctx: Context) -> list[Estimate | Reject]:\n"
        '        extra = ctx.kv("features").get_many([e.carrier for e in events])\n'
        '        ctx.kv("features").put("last", events[-1].flight_id)\n'
        "        for event, value in zip(events, extra):\n"
        "            event.dep_delay = None if event.dep_delay is None else event.dep_delay + float(value or 0)\n"
        "        return [self.estimate(e) for e in events]\n",
    )
    shell.edit("my_flights/science.py", "import Event,", "import Context, Event,")
    with (shell.folder / "my_flights" / "science.py").open("a") as file:
        file.write(
            "\n\n@command\ndef feature(key: str, ctx: Context) -> None:\n"
            '    """One feature."""\n    print(ctx.kv("features").get(key))\n'
        )
    with FakeBridge(data=data) as bridge:
        state = shell.folder / ".ds-runner"
        state.mkdir()
        found = {"pid": os.getpid(), "wire": bridge.address, "token_file": str(bridge.token_file)}
        (state / "bridge.json").write_text(json.dumps(found))
        yield shell


def test_a_model_is_fitted_on_a_query_as_on_the_file(asking: Shell, data: FakeData, tmp_path: Path) -> None:
    done = asking("train", "--json")
    assert done.code == 0, done.text
    said = json.loads(done.out)
    assert said["rows"] == 300
    assert said["metrics"]["rows"] > 50
    assert data.open_cursors == 0
    assert "last" not in data.kv["features"], "evaluate predicts and writes nothing"


def test_evaluate_measures_on_a_query(asking: Shell) -> None:
    assert asking("train").code == 0
    done = asking("evaluate")
    assert done.code == 0, done.text
    assert "over" in done.out


def test_check_looks_at_queries_too(asking: Shell, data: FakeData) -> None:
    done = asking("check")
    assert "history 300 rows" in done.out and done.code == 0, done.text
    assert data.open_cursors == 0 and "last" not in data.kv["features"]


def test_predict_asks_for_data_and_writes_nothing(asking: Shell, data: FakeData) -> None:
    assert asking("train").code == 0
    done = asking("predict", ROW)
    assert done.code == 0, done.text
    assert json.loads(done.out)["arr_delay"] > 100
    assert "1 write of the model left out" in done.err and "last" not in data.kv["features"]


def test_score_batch_reads_a_query_and_does_the_writes(asking: Shell, data: FakeData, tmp_path: Path) -> None:
    assert asking("train").code == 0
    asking.edit(
        "program.yaml",
        "    - {name: serve-api",
        "    - {name: score-batch, input: validation}\n    - {name: serve-api",
    )
    done = asking("score-batch", "--output", str(tmp_path / "out.parquet"))
    assert done.code == 0, done.text
    rows = parquet.read_table(tmp_path / "out.parquet").num_rows
    assert 50 < rows <= 100
    assert data.kv["features"]["last"]


def test_a_query_is_no_file_to_write_to(asking: Shell) -> None:
    assert asking("train").code == 0
    asking.edit(
        "program.yaml",
        "    - {name: serve-api",
        "    - {name: score-batch, input: validation, output: history}\n    - {name: serve-api",
    )
    done = asking("score-batch")
    assert done.code == 2 and "history is a query, and a file is wanted here" in done.err, done.text


def test_an_own_command_gets_its_ctx(asking: Shell) -> None:
    done = asking("feature", "UA")
    assert done.code == 0 and done.out == "b'100'\n", done.text


def test_a_notebook_connects_to_the_bridge_that_runs(asking: Shell) -> None:
    with pyrunner.connect(asking.folder) as ctx:
        assert ctx.kv("features").get_many(["UA", "DL"]) == [b"100", None]
        frame = ctx.read_sql(VALIDATION, params={"day": "2013-10-01"})
    assert len(frame) == 100


def test_an_outage_ends_with_3_and_names_the_dataset(asking: Shell, data: FakeData) -> None:
    data.outage = True
    done = asking("train")
    assert (
        done.code == 3
        and "dataset history (a query of warehouse): the connection cannot be reached" in done.err
    ), done.text


def test_models_live_in_the_bucket_that_the_program_names(asking: Shell, data: FakeData) -> None:
    data.objects["models"] = {}
    asking.edit("program.yaml", "  params: {shrink: 50}\n", "  params: {shrink: 50}\n  model_store: models\n")
    asking.edit("program.yaml", "  connections:\n", '  connections:\n    models: {url: "s3://bucket"}\n')
    done = asking("train")
    assert done.code == 0 and "saved my-flights/1 in models (latest -> 1)" in done.out, done.text
    assert not (asking.folder / "models").exists()
    shutil.rmtree(asking.folder / ".ds-runner" / "models")
    assert asking("predict", ROW).code == 0
    listed = asking("models", "list")
    assert listed.code == 0 and "latest" in listed.out, listed.text
    assert asking("models", "alias", "production", "1").code == 0
    assert data.objects["models"]["my-flights/aliases/production"] == b"1\n"
    assert asking("evaluate").code == 0
