"""What is laid over a program.yaml: the file of an environment, and parameters from the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from pyrunner.program.places import Place, Problems
from pyrunner.program.scalars import ScalarProblem, plain
from pyrunner.program.tree import Node, grow
from pyrunner.program.words import quote

_DECLARING = [("spec", "connections"), ("spec", "datasets"), ("spec", "streams")]
_PARAM = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


def overlay(base: Node, over: Node) -> Node:
    """`over` wins: maps deep, lists of named maps by name, everything else as a whole."""
    if base.is_map and over.is_map:
        for key, node in over.map.items():
            known = base.map.get(key)
            base.put(key, overlay(known, node) if known else node)
            base.keys[key] = over.keys[key]
        return base
    if _named(base) and _named(over):
        return _by_name(base, over)
    return over


def _named(node: Node) -> bool:
    return bool(node.items) and all(n.get("name") and n.map["name"].text for n in node.items)


def _by_name(base: Node, over: Node) -> Node:
    merged = list(base.items)
    for item in over.items:
        at = next((i for i, n in enumerate(merged) if n.map["name"].text == item.map["name"].text), None)
        if at is None:
            merged.append(item)
        else:
            merged[at] = overlay(merged[at], item)
    return Node(merged, base.place, origin=base.origin)


def drop_nulls(node: Node, path: tuple[str, ...] = ()) -> None:
    """A key without a value is a key that is absent; but null is a value in parameters, and a name is declared by itself."""
    if path == ("spec", "params"):
        return
    for key, child in list(node.map.items()):
        if child.value is None and not child.bad:
            if path in _DECLARING:
                child.value = {}
            else:
                del node.map[key]
        else:
            drop_nulls(child, (*path, key))
    for item in node.items:
        drop_nulls(item, (*path, ""))


def apply_params(root: Node, params: Sequence[str], problems: Problems) -> None:
    """Sets spec.params from `name=value` words; a dot in the name goes down into a map."""
    for word in params:
        name, equals, raw = word.partition("=")
        place = Place(f"--param {name}")
        problems.files.append(place.file)
        if not equals or not _PARAM.fullmatch(name):
            problems.add(place, "", "param", f"{quote(word)} is not written name=value")
            continue
        try:
            _set(root, name.split("."), grow(_value(raw), place, "--param"))
        except ScalarProblem as problem:
            problems.add(place, "", problem.code, problem.text)


def _value(raw: str) -> Any:
    if raw[:1] not in ("[", "{", '"'):
        return plain(raw)
    try:
        return json.loads(raw, parse_constant=_no_constant)
    except ValueError:
        raise ScalarProblem("param", f"{quote(raw)} begins as JSON and is none") from None


def _no_constant(_: str) -> NoReturn:
    raise ValueError


def _set(root: Node, steps: list[str], value: Node) -> None:
    node = root
    for step in ("spec", "params", *steps[:-1]):
        child = node.map.get(step)
        if child is None or not child.is_map or child.bad:
            child = node.put(step, Node({}, value.place, origin=value.origin))
        node = child
    node.put(steps[-1], value)
    node.keys[steps[-1]] = value.place
