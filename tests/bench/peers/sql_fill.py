"""Makes the table of the SQL row.

python -m tests.bench.peers.sql_fill URL ROWS
"""

from __future__ import annotations

import sys

QUERY = "SELECT id, carrier, distance, delay, gain, departed FROM bench_flights"


def main(url: str, rows: int) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_flights")
        connection.execute(
            "CREATE TABLE bench_flights AS SELECT n::bigint AS id, 'carrier-' || n % 20 AS carrier,"
            " (n % 3000)::int AS distance, n / 7.0::float8 AS delay, random() AS gain,"
            " timestamptz '2026-01-01' + n * interval '1 second' AS departed"
            f" FROM generate_series(1, {rows:d}) AS n"
        )
        connection.execute("VACUUM ANALYZE bench_flights")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
