"""Is every key known, every value of its type, nothing required missing? Pydantic says; this words it with its place."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError

from pyrunner.program.models import Program
from pyrunner.program.places import Path, Problems
from pyrunner.program.schema import program_schema
from pyrunner.program.tree import Node, render
from pyrunner.program.words import quote, unknown

_CONTAINERS = {
    "list_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}


def check_structure(root: Node, problems: Problems) -> None:
    """Adds a problem for each place where the tree does not fit the models, and marks the node as bad."""
    try:
        Program.model_validate(root.plain())
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=True, include_input=False)
        for one in sorted(
            found, key=lambda e: not _is_key(e)
        ):  # what stands under a bad key is not looked at
            _report(root, one, problems)


def _is_key(error: Mapping[str, Any]) -> bool:
    return bool(error["loc"][-1:] == ("[key]",))


def _report(root: Node, error: Mapping[str, Any], problems: Problems) -> None:
    path: Path = error["loc"]
    if _is_key(error):
        return _bad_key(root, path[:-1], error["ctx"]["expect"], problems)
    if any(root.at(path[:n]).bad for n in range(len(path))):
        return None
    kind, parent, node = error["type"], root.at(path[:-1]), root.at(path)
    shown = render(root, path)
    if kind == "missing":
        if path[-1] not in parent.map:
            problems.add(parent.place, shown, "missing", _missing(path))
        return None
    if node.bad:
        return None
    if kind == "extra_forbidden":
        key = str(path[-1])
        text = unknown("unknown key", key, schema_at(path[:-1])["properties"], "Known")
        problems.add(parent.keys[key], shown, "unknown-key", text)
    elif kind in _CONTAINERS:
        problems.add(node.place, shown, "type", f"expected {_CONTAINERS[kind]}, got {show(node, path)}")
    else:
        problems.add(node.place, shown, "value", f"{show(node, path)} is not {error['ctx']['expect']}")
    node.bad = True
    return None


def _bad_key(root: Node, path: Path, expect: str, problems: Problems) -> None:
    parent, key = root.at(path[:-1]), str(path[-1])
    problems.add(parent.keys[key], render(root, path), "value", f"{quote(key)} is not {expect}")
    root.at(path).bad = True


def _missing(path: Path) -> str:
    examples = schema_at(path).get("examples")
    return f"is missing. For example: {examples[0]}" if examples else "is missing"


def show(node: Node, path: Path) -> str:
    """A value as a problem quotes it; never what stands in connections, for it may be a secret."""
    if isinstance(node.value, dict):
        return "a map"
    if isinstance(node.value, list):
        return "a list"
    if path[:2] == ("spec", "connections"):
        return "the value"
    if node.value is None:
        return "nothing"
    return quote(node.value) if isinstance(node.value, str) else node.raw


def schema_at(path: Path) -> dict[str, Any]:
    """The part of the schema that rules a path."""
    part = _schema()
    for step in path:
        if isinstance(step, int):
            part = _follow(part["items"])
        elif step in part.get("properties", {}):
            part = _follow(part["properties"][step])
        else:
            part = _follow(part["additionalProperties"])
    return part


def _follow(part: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return part
    target: dict[str, Any] = _schema()["$defs"][part["$ref"].rpartition("/")[2]]
    return target


@cache
def _schema() -> dict[str, Any]:
    return program_schema()
