"""A container built from columns is the one that is built from payloads: values, dtypes, nulls, and it belongs to the model."""

import datetime as dt
import enum
import json
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pyrunner import Event, Field, Model
from pyrunner.columns.compose import Composer
from pyrunner.columns.plan import path_of
from pyrunner.columns.read import read
from pyrunner.protocol import Batch, codec
from pyrunner.scoring import Scorer


class Size(enum.Enum):
    SMALL = "S"
    LARGE = "L"


class Rank(enum.IntEnum):
    LOW = 1
    HIGH = 7


class Wide(Event):
    f: float
    fn: float | None = None
    f2: Annotated[float, Field(ge=0)] = 1
    i: int
    i_n: int | None = None
    i2: int = 7
    b: bool
    bn: bool | None = None
    s: str
    sn: str | None = None
    few: Annotated[str, Field(max_length=9)] = "none"
    lit: Literal["b", "a"] = "a"
    size: Size | None = None
    rank: Rank = Rank.LOW
    at: dt.datetime
    atn: dt.datetime | None = None
    day: dt.date
    dayn: dt.date | None = None


class Mixed(Wide):
    odd: Literal["x", 3] = 3


class Floats(Event):
    a: float
    b: float
    c: float | None = None


class Out(Event):
    n: int


def wide(i: int) -> dict[str, Any]:
    event = {
        "f": i / 7, "i": i * 2**40 - 5, "b": i % 2 == 0, "s": f"ü{i}" if i % 3 else "", "at": f"20{i % 80:02d}-01-01T10:00:00.12+02:00",
        "day": f"19{i % 90 + 10}-01-31", "few": ["x", "é", "none"][i % 3],
    }  # fmt: skip
    if i % 2:
        event |= {"fn": -i / 3, "i_n": i, "bn": i % 4 == 1, "sn": f"n{i}", "size": "SL"[i % 3 % 2], "rank": 7, "lit": "b",
                  "atn": "2999-12-31T23:59:59.999999Z", "dayn": "0001-01-01"}  # fmt: skip
    return event


def payloads(n: int, cls: type = Wide, gaps: bool = True) -> list[bytes]:
    if cls is Floats:
        return [
            json.dumps({"a": i / 3, "b": -i, **({"c": 2.5} if i % 2 or not gaps else {})}).encode()
            for i in range(n)
        ]
    return [json.dumps(wide(i)).encode() for i in range(n)]


def model(cls: type, annotation: Any) -> Model[Any, Any]:
    class Asked(Model[cls, Out]):  # type: ignore[valid-type]
        def predict(self, given: annotation) -> Any: ...

    return Asked()


def both(annotation: Any, n: int, cls: type = Wide, gaps: bool = True) -> tuple[Any, Any, Any]:
    """The container by payloads, the one by columns, and the batch that it came from."""
    scorer = Scorer(model(cls, annotation))
    path = path_of(scorer.signature)
    assert path.plan is not None, path.reasons
    sent = Batch(1, 1, 0, 1, 5000, "s", [0, 0, n], payloads(n, cls, gaps), None, None, None)
    frame = Composer(scorer.signature.input_schema, path.plan).columns(sent)
    frame = codec.decode(codec.encode_aligned(frame, 1 << 24)[4:], 1)
    batch = read(scorer.signature.input_schema, frame.layout, frame.rows, frame.body)
    return scorer.given(payloads(n, cls, gaps)), scorer.container.build_columns(batch), batch


SIZES = [1, 2, 7, 64, 200]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("cls", [Wide, Mixed, Floats])
def test_a_frame_is_the_same(n: int, cls: type) -> None:
    raw, columns, _ = both(pd.DataFrame, n, cls)
    pd.testing.assert_frame_equal(raw, columns, check_exact=True, check_freq=True)
    assert [type(columns[name].array) for name in columns] == [type(raw[name].array) for name in raw]
    assert columns.index.equals(pd.RangeIndex(n)) and isinstance(columns.index, pd.RangeIndex)
    assert columns.columns.dtype == raw.columns.dtype


@pytest.mark.parametrize("n", SIZES)
def test_a_table_is_the_same(n: int) -> None:
    raw, columns, _ = both(pa.Table, n)
    columns.validate(full=True)
    assert columns.schema == raw.schema
    assert columns.to_pylist() == raw.to_pylist()
    assert columns.equals(raw)


@pytest.mark.parametrize("n", SIZES)
def test_arrays_are_the_same(n: int) -> None:
    raw, columns, _ = both(dict[str, np.ndarray], n)
    assert list(columns) == list(raw)
    for name in raw:
        assert columns[name].dtype == raw[name].dtype, name
        assert columns[name].flags.writeable
        np.testing.assert_array_equal(columns[name], raw[name], strict=True)
        if raw[name].dtype == object:
            assert [type(v) for v in columns[name]] == [type(v) for v in raw[name]], name


@pytest.mark.parametrize("n", SIZES)
def test_the_values_are_those_of_the_events(n: int) -> None:
    _, _, batch = both(dict[str, np.ndarray], n)
    events = Scorer(model(Wide, list[Wide])).given(payloads(n))
    assert batch.events() == events
    for field in batch.schema:
        assert batch.column(field.name) == [getattr(e, field.name) for e in events]


def test_what_a_model_writes_shows_in_its_own_batch_alone() -> None:
    _, frame, batch = both(pd.DataFrame, 20, Floats)
    kept = batch.of(memoryview(bytes(batch.body)))
    frame["a"] *= -2
    frame.loc[3, "b"] = 99.0
    frame.columns.name = "mine"
    frame.index.name = "mine"
    assert kept.column("b")[3] == -3.0
    _, again, _ = both(pd.DataFrame, 20, Floats)
    assert again.columns.name is None and again.index.name is None
    _, arrays, batch = both(dict[str, np.ndarray], 20)
    kept = batch.of(memoryview(bytes(batch.body)))
    arrays["f"] *= 2
    arrays["at"] += np.timedelta64(1, "D")
    assert kept.column("f") == [i / 7 for i in range(20)]


def test_floats_of_a_class_of_floats_are_not_copied() -> None:
    _, frame, batch = both(pd.DataFrame, 64, Floats, gaps=False)
    assert np.shares_memory(frame["a"].to_numpy(), np.frombuffer(batch.body, dtype=np.uint8))
    _, arrays, batch = both(dict[str, np.ndarray], 64)
    assert np.shares_memory(arrays["i"], np.frombuffer(batch.body, dtype=np.uint8))
    assert arrays["i"].flags.aligned
