"""The table "What it costs" of README, made from results/latest.json: figures in it come from a run or do not stand there.

python -m tests.bench.readme          writes it; tests/docs asks that it is current
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
RESULTS = Path(__file__).parent / "results" / "latest.json"
BEGIN, END = "<!-- from tests/bench/results/latest.json -->", "<!-- end -->"


def table(report: dict[str, Any]) -> str:
    """The rows that a reader wants first, each beside its peers of the same run."""
    rows = {row["name"]: row for row in report["rows"]}
    lines = ["| | ds-runner | beside it, in the same run |", "|---|---|---|"]
    for name, text, unit, peers in SHOWN:
        row = rows[name]
        lines.append(f"| {text} | {_number(row['value'])} {unit} | {peers(row)} |")
    machine = report["machine"]
    where = f"{machine['cores']} cores ({machine['cpu']}), Python {machine['python']}, {machine['go']}"
    return "\n".join(
        [
            *lines,
            "",
            f"`make bench` on {where}; medians of one to five runs (`n` in the results), CPU time of the process named.",
        ]
    )


def _python(row: dict[str, Any]) -> str:
    hand, fetch = row["peers"]["confluent-kafka hand-tuned"], row["peers"]["nats-py fetch 256"]
    return (
        f"{_number(row['floor'])} us the same work in a straight line; "
        f"{_number(hand)} us hand-tuned confluent-kafka loop; {_number(fetch)} us nats-py fetch 256"
    )


def _api(unit: str) -> Callable[[dict[str, Any]], str]:
    return lambda row: (
        f"{_number(row['peers']['FastAPI async'])} {unit} FastAPI async; "
        f"{_number(row['floor'])} {unit} a constant from Go's net/http"
    )


SHOWN: list[tuple[str, str, str, Callable[[dict[str, Any]], str]]] = [
    (
        "stream_python_us_typed",
        "Python's CPU an event: typed, 12 fields, 300 B, one call each",
        "us",
        _python,
    ),
    ("stream_bridge_us", "the bridge's CPU an event, memory to memory", "us", lambda row: ""),
    ("stream_rate", "events a second, one worker", "", lambda row: ""),
    ("frame_rtt_us", "one event at idle, added p50", "us", lambda row: ""),
    (
        "api_rps_lr",
        "LogisticRegression over HTTP, 64 connections, one worker",
        "requests/s",
        _api("requests/s"),
    ),
]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def written(text: str, report: dict[str, Any]) -> str:
    """README with its table as it should be."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table(report)}\n{END}{after}"


def main() -> None:
    README.write_text(written(README.read_text(), json.loads(RESULTS.read_text())))


if __name__ == "__main__":
    main()
