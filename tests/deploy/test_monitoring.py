"""Alert rules, scrape configuration and dashboard: they parse, and every metric in them exists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
DASHBOARD = ROOT / "deploy/grafana/ds-runner.json"
SOURCES = [*(ROOT / "bridge_go").rglob("*.go"), *(ROOT / "pyrunner").rglob("*.py")]

METRIC = re.compile(r"\bds_[a-z0-9_]+")
SERIES = re.compile(r"_(bucket|sum|count)$")
GRAFANA = {"$__rate_interval": "5m", "$program": ".*", "$command": ".*"}


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return [p for p in json.loads(DASHBOARD.read_text())["panels"] if p["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """(where it stands, expression)."""
    for rule in alerts():
        yield f"alert {rule['alert']}", rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in GRAFANA.items():
                expression = expression.replace(name, value)
            yield f"panel {panel['title']}", expression


@pytest.fixture(scope="module")
def known() -> set[str]:
    """The names of all metrics: those of docs/metrics.md, which a test of cmd/ds-bridge takes from the registry, and
    string literals of the sources, tests left out."""
    documented = re.findall(r"`(ds_[a-z0-9_]+)[`{]", (ROOT / "docs/metrics.md").read_text())
    return set(documented) | {
        name
        for source in SOURCES
        if not source.name.endswith("_test.go")
        for name in re.findall(r'"(ds_[a-z0-9_]+)"', source.read_text())
    }


@pytest.mark.parametrize(("place", "expression"), list(expressions()), ids=lambda value: str(value)[:40])
def test_an_expression_is_promql_over_metrics_that_exist(
    place: str, expression: str, known: set[str]
) -> None:
    promql_parser.parse(expression)
    for name in METRIC.findall(expression):
        assert SERIES.sub("", name) in known, f"{place}: {name}"


def test_the_dashboards_variables_ask_for_a_metric_that_exists(known: set[str]) -> None:
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        assert set(METRIC.findall(variable["query"])) <= known


def test_the_documentation_names_metrics_that_exist(known: set[str]) -> None:
    for page in (ROOT / "docs").rglob("*.md"):
        named = {SERIES.sub("", name) for name in re.findall(r"`(ds_[a-z0-9_]+)[`{]", page.read_text())}
        assert named <= known, page.name


def test_an_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert set(rule["annotations"]) == {"summary", "description"}
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))


def test_a_panel_says_what_it_shows_and_none_covers_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["description"]
        at = panel["gridPos"]
        cells = {(at["x"] + dx, at["y"] + dy) for dx in range(at["w"]) for dy in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("name", ["prometheus.yaml", "kubernetes.yaml"])
def test_a_scrape_configuration_loads_the_rules_and_calls_the_job_as_they_do(name: str) -> None:
    config = yaml.safe_load((ALERTS.parent / name).read_text())
    assert all((ALERTS.parent / rules).exists() for rules in config["rule_files"])
    (job,) = config["scrape_configs"]
    assert f'job="{job["job_name"]}"' in ALERTS.read_text()
