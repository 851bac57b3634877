"""Peer: psycopg, all rows as tuples, and pandas.

python -m tests.bench.peers.sql_psycopg URL
"""

from __future__ import annotations

import sys

import pandas as pd
import psycopg

from .meter import Meter
from .sql_fill import QUERY


def main(url: str) -> None:
    meter = Meter()
    with psycopg.connect(url) as connection:
        connection.execute(QUERY).fetchall()
        meter.start()
        found = connection.execute(QUERY)
        frame = pd.DataFrame(found.fetchall(), columns=[column.name for column in found.description or ()])
        meter.n = len(frame)
        meter.stop()
    print(meter)


if __name__ == "__main__":
    main(sys.argv[1])
