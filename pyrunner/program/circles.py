"""Refuses events that would run in a circle: an output, rejected or dead letter stream that leads back to its input.

Streams are compared by connection and topic, because two names for one topic make a circle as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from pyrunner.program.places import Path, Place, Problems
from pyrunner.program.resolve import command_kind
from pyrunner.program.tree import Node, render

_WRITES = ("output", "rejected", "dead_letter")
Topic = tuple[str, str]


def check_circles(root: Node, problems: Problems) -> None:
    """Adds one problem for each edge that closes a circle, at that edge."""
    topics = _topics(root)
    labels: dict[Topic, str] = {}
    for name, topic in topics.items():
        labels.setdefault(topic, name)
    edges: dict[Topic, list[Topic]] = {}
    for path, place, source, target in _edges(root):
        if source not in topics or target not in topics:
            continue
        way = _way(edges, topics[target], topics[source])
        if way:
            text = " -> ".join(labels[t] for t in [topics[source], *way]) + " runs in a circle"
            problems.add(place, render(root, path), "cycle", text)
        else:
            edges.setdefault(topics[source], []).append(topics[target])
    _check_mixed(root, topics, problems)


def _topics(root: Node) -> dict[str, Topic]:
    streams = root.get("spec", "streams")
    found = {}
    for name, stream in streams.map.items() if streams else ():
        connection, topic = stream.get("connection"), stream.get("topic")
        if connection and topic and connection.text and topic.text:
            found[name] = (connection.text, topic.text)
    return found


def stream_commands(root: Node) -> Iterator[tuple[Path, Node]]:
    """The commands that score streams, with their paths."""
    commands = root.get("spec", "commands")
    for at, command in enumerate(commands.items if commands else []):
        if command_kind(command) == "score-stream":
            yield ("spec", "commands", at), command


def _edges(root: Node) -> Iterator[tuple[Path, Place, str, str]]:
    for path, command in stream_commands(root):
        source = command.get("input")
        for key in _WRITES:
            target = command.get(key)
            if source and target:
                yield (*path, key), target.place, source.text, target.text


def _way(edges: dict[Topic, list[Topic]], start: Topic, end: Topic) -> list[Topic]:
    """The shortest way from start to end, both included; empty if there is none."""
    ways, seen = [[start]], {start}
    while ways:
        way = ways.pop(0)
        if way[-1] == end:
            return way
        for step in edges.get(way[-1], []):
            if step not in seen:
                seen.add(step)
                ways.append([*way, step])
    return []


def _check_mixed(root: Node, topics: dict[str, Topic], problems: Problems) -> None:
    for path, command in stream_commands(root):
        output = command.get("output")
        for key in ("rejected", "dead_letter"):
            node = command.get(key)
            if (
                output
                and node
                and topics.get(output.text)
                and topics.get(output.text) == topics.get(node.text)
            ):
                text = f"{node.text} is the output as well; its readers would take both for answers"
                problems.add(node.place, render(root, (*path, key)), "mixed", text)
