"""Refuses formats that lack what they need, have what belongs to others, or would change events that are kept as they were."""

from __future__ import annotations

from collections.abc import Iterator

from pyrunner.program.circles import stream_commands
from pyrunner.program.guarantee import text
from pyrunner.program.places import Path, Problems
from pyrunner.program.tree import Node, render

_REGISTERED = ("avro", "protobuf", "json-schema")
_THEIRS = ("registry", "subject", "schema_file", "register_schema", "message")


def check_formats(root: Node, problems: Problems) -> None:
    """Adds one problem for each key of a stream that does not go with its format."""
    streams = root.get("spec", "streams")
    kept = _kept_as_they_were(root)
    for name, stream in streams.map.items() if streams else ():
        path: Path = ("spec", "streams", name)
        for key, code, why in _problems(root, name, stream, kept):
            place = stream.keys[key] if key in stream.map else stream.place
            problems.add(place, render(root, (*path, key)), code, why)


def _problems(root: Node, name: str, stream: Node, kept: set[str]) -> Iterator[tuple[str, str, str]]:
    written = text(stream, "format")
    if "format" in stream.map and not written:
        return
    if written not in _REGISTERED:
        for key in _THEIRS:
            if key in stream.map:
                yield (
                    key,
                    "not-for-kind",
                    "goes with format: avro, protobuf or json-schema, and with no other",
                )
    elif "registry" not in stream.map:
        connections = root.get("spec", "connections")
        yield (
            "registry",
            "missing",
            f"is missing. Declared: {', '.join(connections.map if connections else ()) or 'none'}.",
        )
    if written in _REGISTERED and written != "protobuf" and "message" in stream.map:
        yield "message", "not-for-kind", "goes with format: protobuf, and with no other"
    register = stream.get("register_schema")
    if written in _REGISTERED and register and register.value is True and "schema_file" not in stream.map:
        yield "register_schema", "missing", "registers the schema of schema_file, which is missing"
    if written not in ("", "json") and name in kept:
        yield (
            "format",
            "not-for-kind",
            "events come here as they were, so the stream has no format of its own. Leave it out",
        )


def _kept_as_they_were(root: Node) -> set[str]:
    """The streams of dead letters and of rejected events."""
    return {
        text(command, key) for _, command in stream_commands(root) for key in ("dead_letter", "rejected")
    } - {""}
