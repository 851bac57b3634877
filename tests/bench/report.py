"""PERFORMANCE.md and its plots, made from results/latest.json: a figure comes from a run or does not stand there.

python -m tests.bench.report          writes them (`make bench-report`); tests/docs asks that they are current
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .bars import chart, figure

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "PERFORMANCE.md"
RESULTS = Path(__file__).parent / "results" / "latest.json"
PLOTS = Path(__file__).parent / "results" / "plots"
OURS = "ds-runner"
MORE_IS_BETTER = ("requests/s", "events/s", "rows/s", "of capacity")

Rows = dict[str, dict[str, Any]]
Pages = dict[Path, str]  # what a file is to hold


@dataclass(frozen=True)
class Served:
    """A pair of rows of servers: CPU time a request, and requests a second."""

    kind: str
    title: str


SERVED = (
    Served("lr", "LogisticRegression, one row a request, 64 connections, one worker"),
    Served("rf", "RandomForest of 100 trees, the same"),
    Served("pipeline", "ColumnTransformer and LogisticRegression over a DataFrame, the same"),
)
BESIDE = (  # rows of milliseconds, each beside its peers
    ("api_p50_c1", "one connection, p50"),
    ("api_open_loop_p50", "1,000 requests/s at random times, p50 from the scheduled time"),
    ("api_open_loop_p99", "the same, p99"),
    ("api_open_loop_lag_p99", "the same: how late the sender itself was, p99"),
    ("api_overload_p99", "twice what a model of 20 ms can do, p99 of what is answered"),
    ("api_overload_429_p99", "the same, p99 of what is refused"),
)
POINTS = {  # rows whose "peers" are points of their own
    "api_overload_goodput": "Answered in overload, as a share of what is answered without",
    "api_growth_cpu": "CPU time over a million requests",
    "api_growth_p99": "p99 over a million requests, in a closed loop of 64",
    "api_growth_rss": "memory of all processes over a million requests",
    "api_growth_connections": "CPU time by connections",
    "api_growth_features": "CPU time by fields of numbers in an event",
    "stream_growth": "CPU time by events of a stream",
    "stream_growth_python_rss": "Python's memory by events of a stream",
    "stream_growth_bridge_rss": "the bridge's memory by events of a stream",
}


def written(report: Mapping[str, Any]) -> Pages:
    """The page and the plots that go with a results file."""
    rows: Rows = {row["name"]: row for row in report["rows"]}
    plots: Pages = {}
    text = "\n".join(
        [
            *_head(report["machine"], report.get("versions", {})),
            *_losses(rows),
            *_serving(rows, plots),
            *_growth(rows),
            *_all(report["rows"]),
            "",
        ]
    )
    return {PAGE: text, **plots}


def _head(machine: Mapping[str, Any], versions: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    yield "# Performance"
    yield ""
    yield "Written by `make bench-report` from [the results of a run](tests/bench/results/latest.json); no figure here was typed."
    yield "CPU time comes first: it is what the scheduler has counted for all processes of a server, and is disturbed least by other load. The load"
    yield "generator runs on the same processors, so rates and latencies are those of a machine that is shared with it. Ours, its floor and its"
    yield "peers take turns; a figure is the median of its rounds, *spread* is (max - min) / median of ours."
    yield ""
    yield from _table(
        ("machine", "cores", "kernel", "Python", "Go", "commit", "date", "seed", "load average"),
        [[machine.get(key, "") for key in ("cpu", "cores", "kernel", "python", "go", "commit", "date", "seed")] + [f"{machine['load']:.1f}"]],
    )  # fmt: skip
    yield ""
    if versions:
        yield from _table(
            ("environment", "versions"),
            [
                [name, ", ".join(f"{what} {which}" for what, which in of.items())]
                for name, of in versions.items()
            ],
        )
        yield ""
    yield "```bash norun=takes-an-hour"
    yield "make bench                       # all rows, peers in environments of their own, into tests/bench/results/latest.json"
    yield "make bench-report                # this page"
    yield "python -m tests.bench api        # one group: see `python -m tests.bench --help`; --quick to see that it runs"
    yield "```"
    yield ""


def _losses(rows: Rows) -> Iterator[str]:
    yield "## Where we lose"
    yield ""
    missed = [
        f"- `{name}` misses its goal: {figure(row['value'])} {row['unit']}, wanted {row['goal']}."
        for name, row in rows.items()
        if row["met"] is False
    ]
    behind = [
        f"- `{name}`: {peer} has {figure(value)} {row['unit']}, we {figure(row['value'])}."
        for name, row in rows.items()
        if name not in POINTS
        for peer, value in row["peers"].items()
        if _comparable(peer) and _worse(row, value)
    ]
    yield from missed + behind or ["Nowhere in this run."]
    yield ""


def _comparable(peer: str) -> bool:
    """Whether a peer is somebody else: some rows set parts of ours beside each other."""
    return not peer.startswith(("our ", "504"))


def _worse(row: Mapping[str, Any], theirs: float) -> bool:
    ours = row["value"]
    return ours < theirs if row["unit"] in MORE_IS_BETTER else ours > theirs


def _serving(rows: Rows, plots: Pages) -> Iterator[str]:
    yield "## Serving over HTTP"
    yield ""
    for served in SERVED:
        cpu, rate = rows.get(f"api_cpu_us_{served.kind}"), rows.get(f"api_rps_{served.kind}")
        if cpu is None or rate is None:
            continue
        yield f"### {served.title}"
        yield ""
        yield from _servers(cpu, rate)
        yield ""
        for row, title in ((cpu, "CPU us a request: less is better"), (rate, "requests a second")):
            plot = PLOTS / f"{row['name']}.svg"
            plots[plot] = chart(f"{served.title}: {title}", _values(row), OURS)
            yield f"![{title}]({plot.relative_to(ROOT)})"
            yield ""
        if rate["goal"]:
            yield f"Goal: {rate['goal']}; {_met(rate)}. `python -m tests.bench api`"
            yield ""
    found = [(rows[name], title) for name, title in BESIDE if name in rows]
    if found:
        yield "### Latency, in milliseconds"
        yield ""
        yield from _table(
            ("", OURS, "peers of the same run", "spread", "goal", ""),
            [
                [title, figure(row["value"]), _peers(row), _share(row["spread"]), row["goal"], _met(row)]
                for row, title in found
            ],
        )
        yield ""
        yield "`python -m tests.bench api api-open`"
        yield ""


def _servers(cpu: Mapping[str, Any], rate: Mapping[str, Any]) -> Iterator[str]:
    used, rates = _values(cpu), _values(rate)
    lines = [
        [
            f"**{name}**" if name == OURS else name,
            figure(used[name]),
            figure(rates[name]),
            figure(rates[OURS] / rates[name]),
        ]
        for name in sorted(rates, key=lambda name: used[name])
    ]
    yield from _table(("", "CPU us/request", "requests/s", "ours is times its rate"), lines)


def _values(row: Mapping[str, Any]) -> dict[str, float]:
    floor = {"Go net/http, constant reply": row["floor"]} if row["floor"] is not None else {}
    return {OURS: row["value"], **floor, **row["peers"]}


def _growth(rows: Rows) -> Iterator[str]:
    found = [(rows[name], title) for name, title in POINTS.items() if name in rows]
    if not found:
        return
    yield "## What grows"
    yield ""
    yield from _table(
        ("", "points", "value", "goal", ""),
        [
            [title, _peers(row), f"{figure(row['value'])} {row['unit']}", row["goal"], _met(row)]
            for row, title in found
        ],
    )
    yield ""
    yield "`python -m tests.bench api-growth stream`"
    yield ""


def _all(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    yield "## Every row"
    yield ""
    yield from _table(
        ("row", OURS, "unit", "floor", "peers", "spread", "load", "goal", ""),
        [
            [
                f"`{row['name']}`",
                figure(row["value"]),
                row["unit"],
                "" if row["floor"] is None else figure(row["floor"]),
                _peers(row),
                _share(row["spread"]),
                row.get("load", ""),
                row["goal"],
                _met(row),
            ]
            for row in rows
        ],
    )


def _peers(row: Mapping[str, Any]) -> str:
    return "; ".join(f"{name} {figure(value)}" for name, value in row["peers"].items())


def _share(spread: float | None) -> str:
    return "" if spread is None else f"{spread:.0%}"


def _met(row: Mapping[str, Any]) -> str:
    return {None: "", True: "met", False: "**not met**"}[row["met"]]


def _table(head: Iterable[object], lines: Iterable[Iterable[object]]) -> Iterator[str]:
    head = list(head)
    yield "| " + " | ".join(map(str, head)) + " |"
    yield "|" + "---|" * len(head)
    for line in lines:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |"


def main() -> None:
    pages = written(json.loads(RESULTS.read_text()))
    PLOTS.mkdir(parents=True, exist_ok=True)
    for stale in set(PLOTS.glob("*.svg")) - pages.keys():
        stale.unlink()
    for path, text in pages.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
