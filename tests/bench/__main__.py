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
    parser.add_argument(
        "--save",
        action="store_true",
        help="some groups only: put their rows in the place of the former ones in the results",
    )
    arguments = parser.parse_args()
    commit = _commit()
    rows: list[dict[str, object]] = []
    for name in arguments.group or GROUPS:
        for row in GROUPS[name](arguments.rounds, arguments.quick):
            load = round(os.getloadavg()[0], 1)
            print(row, f" load average {load}", flush=True)
            rows.append(row.as_json() | {"load": load, "commit": commit})
    if arguments.quick:
        return
    if not arguments.group:
        write(rows)
    elif arguments.save:
        write(merged(rows))


def write(rows: list[dict[str, object]]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    report = {"machine": machine(), "versions": versions(), "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n")


def merged(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The results of before with these rows in the place of those of the same names. Each says of which commit it is."""
    fresh = {row["name"]: row for row in rows}
    before = json.loads(RESULTS.read_text())["rows"]
    return [fresh.pop(row["name"], row) for row in before] + list(fresh.values())


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
    go = subprocess.run(["go", "version"], capture_output=True, text=True).stdout
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "go": go.split()[2] if go else "",
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%d"),
        "seed": SEED,
        "load": os.getloadavg()[0],
        "command": "python -m tests.bench " + " ".join(sys.argv[1:]),
    }


def _commit() -> str:
    """Of what is checked out; `+` where the tree has changes."""
    said = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True).stdout
    return said.strip()


if __name__ == "__main__":
    main()
