"""Figures in README and PERFORMANCE.md come from a committed run."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

from tests.bench import report
from tests.bench.bars import chart
from tests.bench.readme import README, RESULTS, written


def test_the_table_of_costs_is_that_of_the_last_run() -> None:
    text = README.read_text()
    assert text == written(text, json.loads(RESULTS.read_text())), "run: python -m tests.bench.readme"


def test_the_page_of_figures_and_its_plots_are_those_of_the_last_run() -> None:
    pages = report.written(json.loads(RESULTS.read_text()))
    found = {path: path.read_text() if path.exists() else "" for path in pages}
    assert found == pages, "run: make bench-report"
    assert set(report.PLOTS.glob("*.svg")) <= pages.keys(), "run: make bench-report"


def row(name: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "n": 5,
        "floor": None,
        "peers": {},
        "spread": 0.1,
        "goal": "",
        "met": None,
        **more,
    }


MACHINE = {
    "cpu": "x",
    "cores": 2,
    "kernel": "6",
    "python": "3",
    "go": "1",
    "commit": "c",
    "date": "d",
    "load": 0.5,
}


def page(*rows: dict[str, Any]) -> str:
    return report.written({"machine": MACHINE, "rows": list(rows)})[report.PAGE]


def test_the_page_says_where_a_goal_is_missed_and_where_a_peer_is_ahead() -> None:
    text = page(
        row("api_rps_lr", 100.0, "requests/s", peers={"Swift": 200.0, "Slow": 50.0}),
        row("api_cpu_us_lr", 100.0, "us/request", peers={"Swift": 200.0, "Slow": 50.0}),
        row("frame_rtt_us", 7.0, "us", goal="<= 5", met=False),
    )
    losses = text.split("## Where we lose")[1].split("##")[0]
    assert "`api_rps_lr`: Swift has 200 requests/s, we 100." in losses
    assert "`api_cpu_us_lr`: Slow has 50.0 us/request, we 100." in losses
    assert "`frame_rtt_us` misses its goal: 7.00 us, wanted <= 5." in losses
    assert losses.count("\n- ") == 3


def test_every_row_stands_on_the_page_whatever_it_is_called() -> None:
    assert "| `something_new` | 1.50 | us |" in page(row("something_new", 1.5, "us"))


def test_a_plot_is_a_picture_with_a_bar_for_each_server() -> None:
    picture = ElementTree.fromstring(chart("rates <of> servers", {"ours": 3.0, "A & B": 1.0}, "ours"))
    bars = [float(one.attrib["width"]) for one in picture.iter("{http://www.w3.org/2000/svg}rect")][1:]
    assert bars == [420.0, 140.0]
