"""Fills in what the file leaves out, so that nobody after it has to guess: each value with its origin.

Works on the tree and skips what is bad there; problems of names are found afterwards, in `names`.
"""

from __future__ import annotations

from typing import Any

from pyrunner.program.kinds import KINDS, kind_of
from pyrunner.program.tree import Node, grow

DEFAULT = "default"
LISTED_BY_DEFAULT = ("train", "evaluate", "score-stream", "serve-api", "score-batch", "replay")


def resolve(root: Node) -> None:
    """Completes spec: connections and topics of streams, connections of queries, commands not listed, kinds, inputs, dead letters, defaults."""
    spec = root.get("spec")
    if spec is None or not spec.is_map:
        return
    for key in ("params", "connections", "datasets", "streams"):
        _ensure(spec, key, {})
    _complete_streams(spec)
    _complete_datasets(spec)
    _list_commands(spec)
    for command in _commands(spec):
        _complete_command(spec, command)


def _ensure(node: Node, key: str, value: Any, origin: str = DEFAULT) -> None:
    if node.is_map and not node.bad and key not in node.map:
        node.put(key, grow(value, node.place, origin))


def _commands(spec: Node) -> list[Node]:
    commands = spec.get("commands")
    return commands.items if commands else []


def command_kind(command: Node) -> str:
    """The kind of a command's node; nothing while it is unknown."""
    name, kind = command.get("name"), command.get("kind")
    return kind_of(name.text if name else "", kind.text if kind else "")


def _names(spec: Node, key: str) -> list[str]:
    part = spec.get(key)
    return list(part.map) if part else []


def _complete_streams(spec: Node) -> None:
    streams, connections = spec.get("streams"), spec.get("connections")
    if streams and streams.map and connections and connections.is_map and not connections.map:
        connections.put("events", grow({"url": "embedded:"}, connections.place, DEFAULT))
    names = _names(spec, "connections")
    for name, stream in streams.map.items() if streams else ():
        if len(names) == 1:
            _ensure(stream, "connection", names[0], f"inferred from connections.{names[0]}")
        _ensure(stream, "topic", name, f"inferred from streams.{name}")
    for connection in connections.map.values() if connections else ():
        _ensure(connection, "settings", {})


def _complete_datasets(spec: Node) -> None:
    datasets, names = spec.get("datasets"), _names(spec, "connections")
    for dataset in datasets.map.values() if datasets else ():
        if len(names) == 1 and dataset.is_map and "query" in dataset.map:
            _ensure(dataset, "connection", names[0], f"inferred from connections.{names[0]}")


def _list_commands(spec: Node) -> None:
    _ensure(spec, "commands", [])
    commands = spec.get("commands")
    if commands is None or not isinstance(commands.value, list):
        return
    listed = {command_kind(c) for c in commands.items}
    streams = _names(spec, "streams")
    for kind in LISTED_BY_DEFAULT:
        if kind in listed or (kind == "score-stream" and not {"input", "output"} <= set(streams)):
            continue
        given = (
            {"name": kind, "input": "input", "output": "output"} if kind == "score-stream" else {"name": kind}
        )
        commands.value.append(grow(given, commands.place, DEFAULT))


def _complete_command(spec: Node, command: Node) -> None:
    kind = command_kind(command)
    if not kind or not command.is_map:
        return
    name = command.map["name"].text if command.get("name") else kind
    _ensure(command, "kind", kind, f"inferred from commands.{name}.name")
    command.map["kind"].value = kind
    if kind == "train":
        _infer_datasets(spec, command)
    elif kind == "evaluate":
        _infer_evaluation(spec, command)
    elif kind == "score-stream":
        _infer_streams(spec, command, name)
    _fill(command, KINDS[kind]["defaults"])
    for key, defaults in KINDS[kind].get("with", {}).items():
        if key in command.map:
            _fill(command, defaults)


def _fill(node: Node, defaults: dict[str, Any]) -> None:
    for key, value in defaults.items():
        _ensure(node, key, value)
        child = node.get(key)
        if isinstance(value, dict) and child and child.is_map:
            _fill(child, value)


def _infer_datasets(spec: Node, command: Node) -> None:
    datasets = _names(spec, "datasets")
    chosen = "history" if "history" in datasets else datasets[0] if len(datasets) == 1 else ""
    if chosen:
        _ensure(command, "input", chosen, f"inferred from datasets.{chosen}")
    if "validation" in datasets:
        _ensure(command, "validation", "validation", "inferred from datasets.validation")


def _infer_evaluation(spec: Node, command: Node) -> None:
    for train in (c for c in _commands(spec) if command_kind(c) == "train"):
        if "validation" in _names(spec, "datasets") and "validation" not in train.map:
            _ensure(command, "input", "validation", "inferred from datasets.validation")
        elif validation := train.get("validation"):
            _ensure(
                command,
                "input",
                validation.text,
                f"inferred from commands.{train.map['name'].text}.validation",
            )
        return


def _infer_streams(spec: Node, command: Node, name: str) -> None:
    streams = spec.get("streams")
    if streams is None or not streams.is_map:
        return
    if output := _only_other(streams, command):
        _ensure(command, "output", output, f"inferred from streams.{output}")
    given = command.get("input")
    if given is None or given.text not in streams.map:
        return
    own = streams.map[given.text].get("dead_letter")
    if own:
        _ensure(command, "dead_letter", own.text, f"inferred from streams.{given.text}.dead_letter")
    else:
        _ensure(command, "dead_letter", f"{given.text}.dead", f"inferred from commands.{name}.input")
    _declare_dead_letter(streams, command, given.text)


def _only_other(streams: Node, command: Node) -> str:
    """The one stream that is left for the output when input and dead letters are taken, or nothing."""
    given = command.get("input")
    taken = {given.text, f"{given.text}.dead"} if given else set()
    for key in ("dead_letter", "rejected"):
        taken |= {n.text for n in [command.get(key)] if n}
    taken |= {n.text for s in streams.map.values() for n in [s.get("dead_letter")] if n}
    left = [n for n in streams.map if n not in taken]
    return left[0] if given and len(left) == 1 else ""


def _declare_dead_letter(streams: Node, command: Node, source: str) -> None:
    """`departures.dead` needs no declaration: it lies beside departures."""
    node, stream = command.get("dead_letter"), streams.map[source]
    if node is None or node.text != f"{source}.dead" or node.text in streams.map:
        return
    beside = {k: n.text for k in ("connection", "topic") for n in [stream.get(k)] if n}
    if "topic" in beside:
        beside["topic"] += ".dead"
    streams.put(node.text, grow(beside, stream.place, f"inferred from streams.{source}"))
