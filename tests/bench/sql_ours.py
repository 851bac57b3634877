"""Our side of the SQL row: ctx.read_sql, from a bridge that was started for it.

python -m tests.bench.sql_ours FOLDER        prints {"n": ..., "cpu_s": ..., "wall_s": ...}
"""

from __future__ import annotations

import sys

from pyrunner.data.connect import connect

from .peers.meter import Meter
from .peers.sql_fill import QUERY


def main(folder: str) -> None:
    with connect(folder) as ctx:
        ctx.read_sql(QUERY, con="warehouse")
        meter = Meter()
        meter.start()
        frame = ctx.read_sql(QUERY, con="warehouse")
        meter.n = len(frame)
        meter.stop()
    print(meter)


if __name__ == "__main__":
    main(sys.argv[1])
