"""The figures that `up` shows."""

from __future__ import annotations

from pyrunner.commands.board import COLUMNS, Rates, line, rows

COMMAND = {
    "in": 1010,
    "scored": 1000,
    "rejected": 7,
    "dead": 3,
    "latency_p50_ms": 1.25,
    "latency_p99_ms": 0,
    "lag": -1,
    "workers": [{}, {}],
    "state": "running",
}


def cells(status: dict[str, object], rates: Rates | None = None, now: float = 0.0) -> dict[str, str]:
    table = rows({"commands": {"score-stream": status}}, rates or Rates(), now)
    return dict(zip(COLUMNS, table["score-stream"], strict=True))


def test_figures_are_shown_with_thousands_and_what_is_unknown_as_a_dash() -> None:
    shown = cells(COMMAND)
    assert shown["in"] == "1,010"
    assert (shown["scored"], shown["rejected"], shown["dead"]) == ("1,000", "7", "3")
    assert (shown["p50 ms"], shown["p99 ms"], shown["lag"]) == ("1.2", "-", "-")
    assert shown["workers"] == "2"


def test_the_rate_is_that_between_two_looks() -> None:
    rates = Rates()
    cells(COMMAND, rates, now=10.0)
    assert cells({**COMMAND, "scored": 2000}, rates, now=12.0)["per s"] == "500"


def test_why_it_does_not_run_is_said() -> None:
    status = {**COMMAND, "state": "waiting", "why": "no worker is ready", "workers": None}
    assert cells(status)["workers"] == "0, no worker is ready"


def test_a_standby_is_shown_beside_the_workers() -> None:
    status = {**COMMAND, "workers": [{"standby": False}, {"standby": True}]}
    assert cells(status)["workers"] == "1 + 1"


def test_a_line_leaves_out_what_is_not_known() -> None:
    text = line(rows({"commands": {"score-stream": COMMAND}}, Rates(), 0.0))
    assert text == (
        "score-stream: in 1,010, scored 1,000, rejected 7, dead 3, per s 0, p50 ms 1.2, workers 2"
    )
