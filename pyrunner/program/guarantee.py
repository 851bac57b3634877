"""Refuses exactly-once where nothing can store outputs and positions together.

It holds from Kafka to the same Kafka, and into one PostgreSQL.
"""

from __future__ import annotations

from pyrunner.program.circles import stream_commands
from pyrunner.program.places import Problems
from pyrunner.program.tree import Node, render

_HOLDS = (
    ". Exactly-once holds from Kafka to the same Kafka, or with all that is written in one PostgreSQL. "
    "Write at-least-once"
)


def check_guarantees(root: Node, problems: Problems) -> None:
    """Adds one problem for each command whose promise cannot be kept, at the word."""
    for path, command in stream_commands(root):
        node = command.get("guarantee")
        if node is None or node.text != "exactly-once":
            continue
        if why := _why_not(root, command):
            problems.add(node.place, render(root, (*path, "guarantee")), "guarantee", why + _HOLDS)


def _why_not(root: Node, command: Node) -> str:
    first = connection = ""
    for key in ("output", "rejected", "dead_letter"):
        name = _text(command, key)
        on = _text(root, "spec", "streams", name, "connection")
        if not name or not on:
            continue
        if not connection:
            first, connection = name, on
        elif on != connection:
            return f"{first} is on connection {connection} and {name} on {on}"
    source = _text(command, "input")
    origin = _text(root, "spec", "streams", source, "connection")
    scheme = _scheme(root, connection)
    if not connection or scheme in ("", "postgres", "postgresql"):
        return ""
    if scheme == "kafka":
        if origin == connection:
            return ""
        return f"{source} is on connection {origin} and {first} on {connection}"
    return f"{first} is on connection {connection}, which is {scheme}:"


def _scheme(root: Node, connection: str) -> str:
    """That of a connection's URL; empty where it is a secret that only the bridge knows."""
    scheme = _text(root, "spec", "connections", connection, "url").partition(":")[0]
    return "" if scheme.startswith("$") else scheme.removesuffix("+tls")


def _text(node: Node, *keys: str) -> str:
    found = node.get(*keys)
    return found.text or "" if found is not None else ""
