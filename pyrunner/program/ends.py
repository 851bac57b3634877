"""Refuses streams at the end of a command that their connection does not have.

What is read cannot be written, and the other way round.
"""

from __future__ import annotations

from pyrunner.program.circles import stream_commands
from pyrunner.program.guarantee import scheme_of, text
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


def _wrong_end(key: str, scheme: str) -> str:
    """Why a stream of such a connection is not for this key of a command, and what would be."""
    if key == "input" and scheme in ONLY_WRITTEN:
        return f"{scheme}: and is written, not read. A webhook: connection receives events"
    if key != "input" and scheme in ONLY_READ:
        return f"{scheme}: and is read, not written. Declare the stream on another connection"
    return ""
