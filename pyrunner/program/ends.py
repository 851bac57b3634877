"""Refuses streams at the end of a command that their connection does not have.

What is read cannot be written, and the other way round.
"""

from __future__ import annotations

from pyrunner.program.circles import stream_commands
from pyrunner.program.guarantee import scheme_of, setting, text
from pyrunner.program.places import Problems
from pyrunner.program.tree import Node, render

ONLY_READ = ("webhook", "failover")
ONLY_WRITTEN = ("http", "https")


def check_ends(root: Node, problems: Problems) -> None:
    """Adds one problem for each stream at the wrong end, at its name."""
    for path, command in stream_commands(root):
        for key in ("input", "output", "rejected", "dead_letter"):
            node = command.get(key)
            if node is None:
                continue
            connection = text(root, "spec", "streams", node.text, "connection")
            if why := _wrong_end(key, scheme_of(root, connection)):
                told = f"{node.text} is on connection {connection}, which is {why}"
                problems.add(node.place, render(root, (*path, key)), "direction", told)


def check_requests(root: Node, problems: Problems) -> None:
    """Adds one problem for each command whose order an endpoint's connection does not keep, at the order.

    Requests of one key follow one another, those of several are under way at once.
    """
    for path, command in stream_commands(root):
        node = command.get("order")
        if node is None or node.text != "partition":
            continue
        for key in ("output", "rejected", "dead_letter"):
            name = text(command, key)
            connection = text(root, "spec", "streams", name, "connection")
            if (
                scheme_of(root, connection) in ONLY_WRITTEN
                and setting(root, connection, "concurrency") != "1"
            ):
                told = (
                    f"{name} is on connection {connection}, which keeps the order of keys. "
                    "Write order: key, or settings: {concurrency: 1} there"
                )
                problems.add(node.place, render(root, (*path, "order")), "order", told)
                break


def _wrong_end(key: str, scheme: str) -> str:
    """Why a stream of such a connection is not for this key of a command, and what would be."""
    if key == "input" and scheme in ONLY_WRITTEN:
        return f"{scheme}: and is written, not read. A webhook: connection receives events"
    if key != "input" and scheme in ONLY_READ:
        return f"{scheme}: and is read, not written. Declare the stream on another connection"
    return ""
