"""Reading files with the types that the event declares."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from pyrunner import datasets
from pyrunner.errors import UserError
from pyrunner.events import Event
from pyrunner.fields import Key
from pyrunner.schema import schema_of


class Departure(Event):
    flight_id: Annotated[str, Key()]
    origin: Literal["EWR", "JFK"]
    distance: float
    seats: int | None = None


SCHEMA = schema_of(Departure)
TABLE = pa.table(
    {
        "flight_id": ["007", "8"],
        "origin": ["EWR", "JFK"],
        "distance": [10, 20],
        "seats": [1, None],
        "extra": ["a", "b"],
    }
)


def written(folder: Path, name: str) -> Path:
    path = folder / name
    kind = name.removesuffix(".gz")
    if kind.endswith(".parquet"):
        parquet.write_table(TABLE, path)
    elif kind.endswith(".csv"):
        csv.write_csv(TABLE, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in TABLE.to_pylist()))
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(path.read_bytes()))
    return path


@pytest.mark.parametrize("name", ["d.parquet", "d.csv", "d.jsonl", "d.csv.gz", "d.jsonl.gz"])
def test_types_come_from_the_declaration(tmp_path: Path, name: str) -> None:
    table = datasets.read_table(written(tmp_path, name), [SCHEMA])
    types = {n: str(table.schema.field(n).type) for n in SCHEMA.names}
    assert types == {"flight_id": "string", "origin": "string", "distance": "double", "seats": "int64"}
    assert table.to_pylist() == [
        {"flight_id": "007", "origin": "EWR", "distance": 10.0, "seats": 1, "extra": "a"},
        {"flight_id": "8", "origin": "JFK", "distance": 20.0, "seats": None, "extra": "b"},
    ]


@pytest.mark.parametrize("name", ["d.parquet", "d.csv", "d.jsonl"])
def test_the_shape_is_told(tmp_path: Path, name: str) -> None:
    shape = datasets.shape(written(tmp_path, name))
    assert (shape.rows, set(shape.columns)) == (2, {*SCHEMA.names, "extra"})
    assert set(datasets.columns_of(tmp_path / name)) == set(shape.columns)


def test_batches_are_no_larger_than_asked(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(json.dumps({"flight_id": str(i), "distance": i}) + "\n" for i in range(10)))
    sizes = [b.num_rows for b in datasets.batches(path, [SCHEMA], 4)]
    assert sizes == [4, 4, 2]


def test_rows_become_the_payloads_of_the_wire(tmp_path: Path) -> None:
    (batch,) = datasets.batches(written(tmp_path, "d.parquet"), [SCHEMA], 100)
    first, second = datasets.rows_as_json(batch, SCHEMA)
    assert json.loads(first) == {"flight_id": "007", "origin": "EWR", "distance": 10.0, "seats": 1}
    assert json.loads(second)["seats"] is None


def test_nan_is_null() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [float("nan"), 1.0]})
    assert datasets.rows_as_json(batch) == [b'{"x":null}', b'{"x":1.0}']


MISTAKES: list[tuple[str, str, str]] = [
    (
        "d.jsonl",
        '{"flight_id": "1", "distance": "far"}',
        r"column distance is string, Departure\.distance is float64.*far",
    ),
    ("d.csv", "flight_id,seats\n1,1.5\n", r"column seats is string, Departure\.seats is int64 \| null"),
    ("d.jsonl", '{"a": 1}\n{"a": ', r"d\.jsonl:2 not a JSON object"),
    ("d.jsonl", "[1]", r"d\.jsonl:1 not a JSON object"),
    ("d.parquet", "not parquet", r"d\.parquet cannot be read as parquet"),
    ("d.xlsx", "", r"unknown format\. Datasets are \.parquet, \.csv"),
]


@pytest.mark.parametrize(("name", "text", "message"), MISTAKES)
def test_a_mistake_names_file_column_and_fix(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        datasets.read_table(path, [SCHEMA])


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    written(tmp_path, "history.parquet")
    with pytest.raises(UserError, match=r"no file .*histroy\.parquet\. Did you mean .*history\.parquet\?"):
        datasets.read_table(tmp_path / "histroy.parquet")


def test_a_missing_column_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    told = datasets.missing_columns(tmp_path / "d.csv", ["flight_id", "origin", "distanc"], SCHEMA)
    assert told == [
        f"{tmp_path}/d.csv has no column distance, which Departure declares. It has: flight_id, origin, distanc. "
        "Did you mean distanc?"
    ]


def test_fields_with_a_default_need_no_column(tmp_path: Path) -> None:
    columns: list[Any] = ["flight_id", "origin", "distance"]
    assert datasets.missing_columns(tmp_path / "d.csv", columns, SCHEMA) == []


def test_a_float_is_not_taken_for_text_but_an_integer_is(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"flight_id": [1.0], "origin": ["EWR"], "distance": [1.0]}), tmp_path / "f.parquet"
    )
    parquet.write_table(
        pa.table({"flight_id": [7], "origin": ["EWR"], "distance": [1.0]}), tmp_path / "i.parquet"
    )
    assert datasets.read_table(tmp_path / "i.parquet", [SCHEMA]).to_pylist()[0]["flight_id"] == "7"
    with pytest.raises(UserError, match=r"column flight_id is double, Departure\.flight_id is str"):
        datasets.read_table(tmp_path / "f.parquet", [SCHEMA])
