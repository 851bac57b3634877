"""Refuses an order that nobody keeps: where readers share the events of a key, each scores its share as fast as it can."""

from __future__ import annotations

from pyrunner.program.circles import stream_commands
from pyrunner.program.guarantee import scheme_of, setting, text
from pyrunner.program.places import Problems
from pyrunner.program.tree import Node, render


def check_order(root: Node, problems: Problems) -> None:
    """Adds one problem for each command whose order cannot be kept, at the order."""
    for path, command in stream_commands(root):
        node = command.get("order")
        if node is None or node.text in ("", "none"):
            continue
        if why := _why_not(root, command):
            problems.add(node.place, render(root, (*path, "order")), "order", why)


def _why_not(root: Node, command: Node) -> str:
    source = text(command, "input")
    connection = text(root, "spec", "streams", source, "connection")
    scheme = scheme_of(root, connection)
    if scheme in ("nats", "tls") and _truth(setting(root, connection, "shared")):
        return (
            f"{source} is on connection {connection} with shared: true, whose readers share the events of a key. "
            "Write order: none, or settings: {partitions: N} instead of shared"
        )
    if scheme in ("redis", "rediss") and scales(command):
        return (
            f"{source} is on connection {connection}, which is {scheme}:, where replicas share the events of a key. "
            "Write order: none, or deploy: {scale: {min: 1, max: 1}}"
        )
    return ""


def scales(command: Node) -> bool:
    """Whether there may be more than one replica."""

    def count(key: str) -> int:
        node = command.get("deploy", "scale", key)
        return node.value if node is not None and isinstance(node.value, int) else 0

    unbounded = count("lag") > 0 and command.get("deploy", "scale", "max") is None
    return count("min") > 1 or count("max") > 1 or unbounded


def _truth(written: str) -> bool:
    """A setting as connectors read it."""
    return written.lower() in ("true", "t", "1")
