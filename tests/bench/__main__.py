"""The benchmark: `make bench`. It writes results/latest.json, one row a figure, each beside its floor and its peers.

A row is {"name", "value", "unit", "n", "floor", "peers", "spread", "goal", "met", "load"}: `value` is the median of `n` runs,
`spread` their (max - min) / median. Ours, the floor and the peers take turns, so that a slow minute of the machine hits
all of them. CPU time is taken from the scheduler for each process, so that other load disturbs it little.

    python -m tests.bench [--rounds 5] [--quick] [ROW ...]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from . import (
    api,
    api_growth,
    api_open,
    codec,
    columns_rows,
    jetstream_rows,
    kafka_rows,
    memory_rows,
    parse_rows,
    scoring,
    sql_rows,
    stream_rows,
)
from .peers.models import SEED
from .versions import versions

RESULTS = Path(__file__).parent / "results" / "latest.json"
GROUPS = {
    "stream": stream_rows.rows,
    "columns": columns_rows.rows,
    "kafka": kafka_rows.rows,
    "jetstream": jetstream_rows.rows,
    "sql": sql_rows.rows,
    "memory": memory_rows.rows,
    "codec": codec.rows,
    "parse": parse_rows.rows,
    "scoring": scoring.rows,
    "api": api.rows,
    "api-open": api_open.rows,
    "api-growth": api_growth.rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench")
    parser.add_argument("group", nargs="*", choices=[[], *GROUPS], help="which rows; all of them by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="fewer events: to see that it runs, not to quote"
    )
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    for name in arguments.group or GROUPS:
        for row in GROUPS[name](arguments.rounds, arguments.quick):
            load = round(os.getloadavg()[0], 1)
            print(row, f" load average {load}", flush=True)
            rows.append(row.as_json() | {"load": load})
    if not arguments.group and not arguments.quick:
        write(rows)


def write(rows: list[dict[str, object]]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"machine": machine(), "versions": versions(), "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


def machine() -> dict[str, object]:
    """What a reader must know to set these figures beside others."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
    go = subprocess.run(["go", "version"], capture_output=True, text=True).stdout
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "go": go.split()[2] if go else "",
        "commit": commit.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "seed": SEED,
        "load": os.getloadavg()[0],
        "command": "python -m tests.bench " + " ".join(sys.argv[1:]),
    }


if __name__ == "__main__":
    main()
