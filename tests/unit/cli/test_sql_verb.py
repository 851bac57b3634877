"""`ds-runner sql`: what a database of program.yaml answers, as a table, lines, or a file."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner, Result

from pyrunner.cli import app
from pyrunner.testing import FakeBridge, FakeData

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: flights}
spec:
  model: flights:Delays
  connections:
    warehouse: {url: "postgres://reader:${env:WAREHOUSE_PASSWORD}@db/flights"}
"""

RATES = pa.table(
    {"carrier": ["UA", "D[b]L"], "rate": [1.5, None], "n": [1, 2], "day": [datetime.date(2013, 1, 31)] * 2}
)


@pytest.fixture
def data() -> FakeData:
    return FakeData(sql=lambda sql, params: RATES if sql == "rates" else {"n": list(range(25_000))})


@pytest.fixture
def ask(tmp_path: Path, data: FakeData) -> Iterator[Any]:
    (tmp_path / "program.yaml").write_text(PROGRAM)
    with FakeBridge(data=data) as bridge:
        shared = [
            "--program",
            str(tmp_path),
            "--bridge",
            bridge.address,
            "--token-file",
            str(bridge.token_file),
        ]

        def asked(*arguments: str) -> Result:
            return CliRunner().invoke(app, ["sql", *arguments, *shared])

        yield asked


def test_a_table_shows_each_row_as_it_is(ask: Any) -> None:
    done = ask("rates")
    assert done.exit_code == 0, done.output
    head, first, second = done.stdout.rstrip("\n").splitlines()
    assert head.split() == ["carrier", "rate", "n", "day"]
    assert first.split() == ["UA", "1.5", "1", "2013-01-31"]
    assert second.split() == ["D[b]L", "2", "2013-01-31"]
    assert "2 rows" in done.stderr


def test_a_long_table_is_cut_and_says_so(ask: Any) -> None:
    done = ask("numbers")
    assert len(done.stdout.splitlines()) == 101
    assert "100 rows shown, there are more: --limit N, or -o FILE" in done.stderr


def test_lines_are_json_and_all_of_them(ask: Any) -> None:
    done = ask("rates", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()][1] == {
        "carrier": "D[b]L", "rate": None, "n": 2, "day": "2013-01-31"
    }  # fmt: skip
    assert len(ask("numbers", "--json").stdout.splitlines()) == 25_000


def test_csv_and_a_limit(ask: Any, data: FakeData) -> None:
    done = ask("numbers", "--csv", "--limit", "3")
    assert done.stdout.splitlines() == ["n", "0", "1", "2"]
    assert data.open_cursors == 0


def test_a_file_is_written_page_by_page(ask: Any, tmp_path: Path) -> None:
    done = ask("numbers", "-o", str(tmp_path / "n.parquet"))
    assert done.exit_code == 0, done.output
    assert parquet.read_table(tmp_path / "n.parquet")["n"].to_pylist() == list(range(25_000))
    assert "25,000 rows in" in done.stdout


def test_parameters_are_numbers_where_they_look_so(ask: Any, data: FakeData) -> None:
    given: dict[str, Any] = {}
    data.sql = lambda sql, params: given.update(params) or [{"n": 1}]
    ask("q", "--param", "n=3", "-p", "carrier=UA", "-p", "code=007", "-p", "none=null")
    assert given == {"n": 3, "carrier": "UA", "code": "007", "none": None}


def test_a_mistake_in_the_statement_ends_with_2_and_the_databases_words(ask: Any, data: FakeData) -> None:
    data.sql = {}
    done = ask("select")
    assert done.exit_code == 2 and "the test has no rows for: select" in done.stderr


def test_a_database_that_cannot_be_reached_ends_with_3(ask: Any, data: FakeData) -> None:
    data.outage = True
    done = ask("rates")
    assert done.exit_code == 3 and "cannot be reached" in done.stderr


def test_an_unknown_connection_is_told_with_the_nearest(ask: Any) -> None:
    done = ask("rates", "--con", "warehuose")
    assert done.exit_code == 2 and "Did you mean warehouse" in done.stderr
