"""The row of SQL: a million rows of PostgreSQL into a DataFrame, through the bridge, beside what a program would do itself.

Six columns: two integers, two floats, a text, a time. Each measures the wall time of its second read, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.providers import start_all

from .children import PEERS, figures, peer
from .cpu import median, spread
from .row import Row

ROWS = 1_000_000

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench}}
spec:
  model: bench_science:Scorer
  connections:
    warehouse: {{url: "{url}"}}
"""


def rows(rounds: int, quick: bool) -> Iterator[Row]:
    wanted = ROWS // 10 if quick else ROWS
    with start_all(["postgres"]) as started, tempfile.TemporaryDirectory(prefix="ds-bench-sql-") as name:
        url, folder = started.components["postgres"].url, Path(name)
        subprocess.run([PEERS, "-m", "tests.bench.peers.sql_fill", url, str(wanted)], check=True)
        (folder / "program.yaml").write_text(PROGRAM.format(url=url))
        (folder / "bench_science.py").touch()
        ours, adbc, psycopg = [], [], []
        for _ in range(rounds):
            adbc.append(peer("sql_adbc", url).rate)
            ours.append(figures([sys.executable, "-m", "tests.bench.sql_ours", folder]).rate)
            psycopg.append(peer("sql_psycopg", url).rate)
    yield Row(
        "sql_rows", median(ours), "rows/s", rounds, spread=spread(ours),
        peers={"ADBC": median(adbc), "psycopg and pandas": median(psycopg)},
        goal=">= ADBC", met=median(ours) >= median(adbc),
    )  # fmt: skip
