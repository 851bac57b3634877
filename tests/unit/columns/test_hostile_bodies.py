"""A body that is not what its layout says is refused by name, or read as some values: nothing else, whatever its bytes are."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunner.columns.compose import Composer
from pyrunner.columns.read import read
from pyrunner.protocol import Batch, Columns, DecodeError, codec
from pyrunner.protocol.frames import MAX_FRAME
from pyrunner.scoring import Scorer
from tests.unit.columns.test_containers import Wide, model, payloads

SCORERS = [Scorer(model(Wide, annotation)) for annotation in (pd.DataFrame, pa.Table, dict[str, np.ndarray])]
SCHEMA = SCORERS[0].signature.input_schema
NAMES = list(SCHEMA.names)


def frame(n: int = 24) -> Columns:
    plan = SCORERS[0].path.plan
    assert plan is not None
    sent = Batch(1, 1, 0, 1, 5000, "s", [0, 0, n], payloads(n), None, None, None)
    composed = Composer(SCHEMA, plan).columns(sent)
    assert composed is not None
    got = codec.decode(codec.encode_aligned(composed, MAX_FRAME)[4:], 1)
    assert isinstance(got, Columns)
    return got


def numbers(layout: list[int], name: str) -> list[int]:
    at = 10 * NAMES.index(name)
    return layout[at : at + 10]


def refused(change: Any, match: str) -> None:
    got = frame()
    change(got)
    with pytest.raises(DecodeError, match=match):
        read(SCHEMA, got.layout, got.rows, got.body)


def into(name: str, buffer: int, dtype: str, at: int, value: int) -> Any:
    """Write a number into a buffer (2 validity, 4 data, 6 offsets) of a column."""

    def change(got: Columns) -> None:
        place, length = numbers(got.layout, name)[buffer : buffer + 2]
        np.frombuffer(got.body, dtype=np.uint8)[place : place + length].view(dtype)[at] = value

    return change


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (into("s", 6, "<i4", 3, -1), "COLUMNS.body: s has offsets that do not ascend"),
        (into("s", 6, "<i4", 24, 2**31 - 1), "COLUMNS.body: s has offsets that do not ascend"),
        (into("s", 6, "<i4", 0, -5), "COLUMNS.body: s has offsets that do not ascend"),
        (into("s", 8, "u1", 3, 0xFF), "COLUMNS.body: s has a text that is not UTF-8"),
        (into("s", 6, "<i4", 2, 1), "COLUMNS.body: s has a text that is not UTF-8"),
        (into("few", 4, "<i4", 5, 3), "COLUMNS.body: few has a code that is none of 3"),
        (into("few", 4, "<i4", 5, -1), "COLUMNS.body: few has a code that is none of 3"),
        (into("lit", 4, "<i4", 0, 2), "COLUMNS.body: lit has a code that is none of 2"),
        (into("size", 4, "<i4", 1, -1), "COLUMNS.body: size has codes where it has nulls"),
        (into("size", 4, "<i4", 0, 0), "COLUMNS.body: size has codes where it has nulls"),
        (into("fn", 4, "<i8", 0, 0), "COLUMNS.body: fn has a value where it has null"),
        (into("dayn", 4, "<i8", 0, 0), "COLUMNS.body: dayn has a value where it has null"),
        (into("b", 4, "u1", 2, 2), "COLUMNS.body: b has a bool that is neither 0 nor 1"),
        (into("fn", 2, "u1", 0, 255), "COLUMNS.body: fn has 12 nulls, and 8 by its bitmap"),
        (into("at", 4, "<i8", 0, 2**62), "COLUMNS.body: at has a time outside of the years 1 to 9999"),
        (into("day", 4, "<i8", 0, -(10**9)), "COLUMNS.body: day has a time outside of the years 1 to 9999"),
        (lambda got: got.layout.__setitem__(0, 1), "COLUMNS.layout: encoding 1 for f"),
        (lambda got: got.layout.__delitem__(slice(10)), "COLUMNS.layout: .* numbers for"),
    ],
)  # fmt: skip
def test_what_points_nowhere_is_refused_by_name(change: Any, match: str) -> None:
    refused(change, match)


def test_nulls_where_none_may_be_are_refused() -> None:
    def change(got: Columns) -> None:
        at, from_ = 10 * NAMES.index("i"), numbers(got.layout, "i_n")
        got.layout[at + 1 : at + 4] = from_[1:4]

    refused(change, "COLUMNS.body: i has 12 nulls, and may have none")


@settings(max_examples=150, deadline=None)
@given(
    layout=st.lists(st.tuples(st.integers(0, 10 * len(NAMES) - 1), st.integers(0, 2**40) | st.sampled_from([0, 1, 4, 64, 96, 128])), max_size=3),
    body=st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 255)), max_size=40),
)  # fmt: skip
def test_any_damage_is_refused_or_read(layout: list[tuple[int, int]], body: list[tuple[int, int]]) -> None:
    got = frame()
    for at, value in layout:
        got.layout[at] = value
    for at, value in body:
        got.body[at % len(got.body)] = value
    try:
        again = codec.decode(codec.encode_aligned(got, MAX_FRAME)[4:], 1)
        assert isinstance(again, Columns)
        batch = read(SCHEMA, again.layout, again.rows, again.body)
    except DecodeError:
        return
    for scorer in SCORERS:
        given = scorer.container.build_columns(batch)  # type: ignore[attr-defined]
        str(given.to_pydict() if isinstance(given, pa.Table) else given)
    assert len(batch.events()) == batch.rows
