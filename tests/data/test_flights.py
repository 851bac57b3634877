"""The committed flights are those that the generator makes."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from . import make_flights


def test_the_template_has_what_the_generator_makes(tmp_path: Path) -> None:
    """Tables are compared by content: the bytes change with pyarrow's version."""
    make_flights.make(tmp_path)
    for name in ("history.parquet", "validation.parquet"):
        assert pq.read_table(tmp_path / name) == pq.read_table(make_flights.TEMPLATE / name)
    events = "departures.jsonl"
    assert (tmp_path / events).read_bytes() == (make_flights.TEMPLATE / events).read_bytes()


def test_history_ends_where_the_events_begin() -> None:
    assert set(make_flights.until_september().month) == set(range(1, 10))
    assert len(make_flights.until_september()) == 252_484
    later = make_flights.from_october()
    assert set(later.month) == {10, 11, 12}
    assert later.head(make_flights.EVENTS).dep_delay.isna().any()  # Reject has work
