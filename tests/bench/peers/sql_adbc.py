"""Peer: ADBC's driver for PostgreSQL, columns all the way, into a DataFrame.

python -m tests.bench.peers.sql_adbc URL
"""

from __future__ import annotations

import sys

from adbc_driver_postgresql import dbapi

from .meter import Meter
from .sql_fill import QUERY


def main(url: str) -> None:
    meter = Meter()
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        cursor.fetch_df()
        meter.start()
        cursor.execute(QUERY)
        meter.n = len(cursor.fetch_df())
        meter.stop()
    print(meter)


if __name__ == "__main__":
    main(sys.argv[1])
