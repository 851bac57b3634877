"""The tables of docs/ that follow from the code: written between two markers of a page, and held to be current by a test.

    <!-- table: program -->
    ...
    <!-- end -->

`python -m tests.docs.reference` writes them anew. Those that follow from Go are written by its own test,
`go test ./bridge_go/cmd/ds-bridge -update`.
"""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"
PLACES = {
    "": "",
    "Metadata": "metadata",
    "Spec": "spec",
    "Connection": "spec.connections.NAME",
    "Dataset": "spec.datasets.NAME",
    "Stream": "spec.streams.NAME",
    "Command": "spec.commands[]",
    "Batch": "spec.commands[].batch",
    "Breaker": "spec.commands[].breaker",
    "RequestLogQueue": "spec.commands[].request_log_queue",
    "ShadowQueue": "spec.commands[].shadow_queue",
    "Queue": "spec.commands[].queue",
    "Tls": "spec.commands[].tls",
    "Deploy": "spec.commands[].deploy",
    "Scale": "spec.commands[].deploy.scale",
}


def program_schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        importlib.resources.files("pyrunner.program").joinpath("program.schema.json").read_bytes()
    )
    return found


def program() -> Iterator[str]:
    """Every key of program.yaml, by the place where it stands."""
    schema = program_schema()
    unplaced = schema["$defs"].keys() - PLACES.keys()
    assert not unplaced, f"name the place of {unplaced} in {__file__}"
    for name, place in PLACES.items():
        part = schema["$defs"][name] if name else schema
        yield f"\n**`{place or 'program.yaml'}`**\n"
        yield "| key | takes | is |"
        yield "|---|---|---|"
        for key, field in part["properties"].items():
            must = "; required" if key in part.get("required", ()) else ""
            yield f"| `{key}` | {_takes(field)}{must} | {_described(schema, field)} |"


def _takes(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return "a map, see below"
    if "items" in field:
        return "a list of maps"
    if field.get("type") == "object":
        values = field.get("additionalProperties")
        return "a map by name" if isinstance(values, dict) and "$ref" in values else "a map"
    return str(field["x-expect"])


def _described(schema: dict[str, Any], field: dict[str, Any]) -> str:
    said = field.get("description")
    if not said and "$ref" in field:
        said = schema["$defs"][field["$ref"].rpartition("/")[2]].get("description")
    assert said, f"a key of program.yaml without a docstring: {field}"
    return str(said)


def kinds() -> Iterator[str]:
    """What each kind of command takes, with its defaults."""
    yield "| kind | takes | defaults |"
    yield "|---|---|---|"
    for kind, what in program_schema()["x-kinds"]["kinds"].items():
        fields = ", ".join(
            f"`{name}`" + (f" ({refers})" if refers else "") for name, refers in what["fields"].items()
        )
        defaults = ", ".join(f"`{path}: {value}`" for path, value in _leaves(what["defaults"]))
        yield f"| `{kind}` | {fields} | {defaults} |"


def _leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def python_metrics() -> Iterator[str]:
    """What the workers and their parent count."""
    from prometheus_client import CollectorRegistry

    from pyrunner.metrics import ParentMetrics, WorkerMetrics

    yield "| name | type | labels | what |"
    yield "|---|---|---|---|"
    for owner in (WorkerMetrics, ParentMetrics):
        registry = CollectorRegistry()
        owner("", "", registry) if owner is WorkerMetrics else owner(registry)  # type: ignore[call-arg, arg-type]
        for collector in dict.fromkeys(registry._collector_to_names):
            metric = next(iter(collector.collect()))
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = ", ".join(collector._labelnames)  # type: ignore[attr-defined]
            yield f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |"


def codes() -> Iterator[str]:
    """The table at the top of pyrunner/scoring/failures.py."""
    from pyrunner.scoring import failures

    fates = {"REJECT": "rejected", "RETRY": "comes again", "FAIL": "dead letter"}
    yield "| code | fate | what happened |"
    yield "|---|---|---|"
    for line in (failures.__doc__ or "").splitlines():
        if row := re.fullmatch(r"(\S.*?)  +(REJECT|FAIL|RETRY) +(.*)", line):
            code = row[1] if row[1].startswith("(") else f"`{row[1]}`"
            yield f"| {code} | {fates[row[2]]} | {row[3].replace('|', chr(92) + '|')} |"


TABLES: dict[str, tuple[str, Callable[[], Iterator[str]]]] = {
    "program": ("program.md", program),
    "kinds": ("program.md", kinds),
    "python-metrics": ("metrics.md", python_metrics),
    "codes": ("models.md", codes),
}


def current(name: str) -> tuple[Path, str, str]:
    """The page of a table, its text as it is, and as it has to be."""
    page, rows = DOCS / TABLES[name][0], TABLES[name][1]
    text = page.read_text()
    marked = re.compile(rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    assert marked.search(text), f"{page} has no <!-- table: {name} -->"
    table = "\n".join(rows()).strip() + "\n"
    return page, text, marked.sub(lambda m: f"{m[1]}{table}{m[2]}", text)


if __name__ == "__main__":
    for each in TABLES:
        where, _, wanted = current(each)
        where.write_text(wanted)
