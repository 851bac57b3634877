"""Refuses exactly-once where nothing can store outputs and positions together, nor an event's outputs once.

It holds from Kafka to the same Kafka, into one PostgreSQL, and into one stream of a JetStream.
"""

from __future__ import annotations

from pyrunner.program.circles import stream_commands
from pyrunner.program.places import Problems
from pyrunner.program.tree import Node, render

_HOLDS = (
    ". Exactly-once holds from Kafka to the same Kafka, with all that is written in one PostgreSQL, or in one stream of "
    "the embedded broker or of NATS. Otherwise write at-least-once"
)
_JETSTREAMS = ("embedded", "nats", "tls")


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
        name = text(command, key)
        on = text(root, "spec", "streams", name, "connection")
        if not name or not on:
            continue
        if not connection:
            first, connection = name, on
        elif on != connection:
            return f"{first} is on connection {connection} and {name} on {on}"
    source = text(command, "input")
    origin = text(root, "spec", "streams", source, "connection")
    scheme = scheme_of(root, connection)
    if not connection:
        return ""
    if scheme in _JETSTREAMS:
        return _not_in_one_stream(root, first, connection, source, origin)
    if scheme in ("", "postgres", "postgresql"):
        return _without_position(root, source, origin)
    if scheme == "kafka":
        if origin == connection:
            return ""
        return f"{source} is on connection {origin} and {first} on {connection}"
    return f"{first} is on connection {connection}, which is {scheme}:"


def _not_in_one_stream(root: Node, first: str, connection: str, source: str, origin: str) -> str:
    """Storing an event's outputs once takes one stream, topics without partitions, and events that are known again
    by their positions."""
    if not setting(root, connection, "stream"):
        return (
            f"{first} is on connection {connection}, whose topics are streams of their own: "
            "write settings: {stream: NAME} there"
        )
    if _number(setting(root, connection, "partitions")) > 1:
        return (
            f"{first} is on connection {connection}, whose topics have partitions: "
            "write to a connection without"
        )
    if (scheme := scheme_of(root, origin)) and scheme not in ("kafka", *_JETSTREAMS):
        return f"{source} is on connection {origin}, which is {scheme}:, whose events are not known again for certain"
    return ""


def _without_position(root: Node, source: str, origin: str) -> str:
    """No database can keep the position of such an input beside its rows."""
    scheme = scheme_of(root, origin)
    if scheme in ("webhook", "failover"):
        return f"{source} is on connection {origin}, which is {scheme}:, and has not one position"
    return ""


def scheme_of(root: Node, connection: str) -> str:
    """That of a connection's URL; empty where it is a secret that only the bridge knows."""
    scheme = text(root, "spec", "connections", connection, "url").partition(":")[0]
    return "" if scheme.startswith("$") else scheme.removesuffix("+tls")


def setting(root: Node, connection: str, name: str) -> str:
    """One of a connection's further settings, as it is written."""
    found = root.get("spec", "connections", connection, "settings", name)
    return found.raw if found is not None and not isinstance(found.value, (dict, list)) else ""


def text(node: Node, *keys: str) -> str:
    """The text below a node; empty where there is none."""
    found = node.get(*keys)
    return found.text or "" if found is not None else ""


def _number(written: str) -> int:
    try:
        return int(written)
    except ValueError:
        return 0
