"""What is audited: the way of a command's events through the user's connections, on topics of the audit's own.

user's program.yaml, command  ->  Route  ->  program.yaml of the audit: same connections, guarantee, order, batches, workers;
                                             our model; topics whose names begin with audit-<run>-
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from pyrunner.errors import UserError
from pyrunner.program import Command, Connection, Program

NUMBERS, ANSWERS, LETTERS = "numbers", "answers", "letters"  # streams: events, results, dead letters
COMMAND = "score-stream"
EMBEDDED = ("embedded", "memory")  # brokers inside the bridge: to kill it is to kill them
_PARTITIONS = "4"  # of a Kafka topic, where the connection does not say: more than one, so that they move
_NO_SOURCES = {
    "file": "is read from files, which end: nothing can be killed in between",
    "webhook": "is what others send: an audit has nobody to send for it",
    "failover": "is two connections: audit one of them",
}
_NO_SINKS = dict.fromkeys(("http", "https"), "is sent away: what has arrived cannot be read back")
_KEPT = ("workers", "batch", "order", "deadline", "attempts", "breaker", "guarantee")  # of the command


@dataclass(frozen=True)
class Place:
    """A connection as the user wrote it: secrets are references, and stay so."""

    name: str
    url: str
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def scheme(self) -> str:
        """Empty where the URL is a secret that only the bridge knows."""
        scheme = "" if self.url.startswith("$") else self.url.partition(":")[0]
        return {"postgresql": "postgres", "tls": "nats", "rediss": "redis"}.get(
            scheme, scheme.removesuffix("+tls")
        )

    def setting(self, name: str) -> str:
        """A setting, from the URL's query or beside it."""
        in_url = re.search(rf"[?&]{re.escape(name)}=([^&#]*)", self.url)
        return self.settings.get(name) or (in_url[1] if in_url else "")


@dataclass(frozen=True)
class Route:
    """From where to where, under which promise."""

    run: str
    source: Place
    sink: Place
    letters: Place
    command: dict[str, Any]

    @property
    def name(self) -> str:
        """Of the audit's program: groups are called by it, too."""
        return f"audit-{self.run}"

    @property
    def guarantee(self) -> str:
        return str(self.command.get("guarantee", "at-least-once"))

    @property
    def order(self) -> str:
        return str(self.command.get("order", "key"))

    @property
    def embedded(self) -> bool:
        """Whether some of it lives in the bridge: then only that bridge can be asked what is there."""
        return any(place.scheme in EMBEDDED for place in (self.source, self.sink, self.letters))

    @property
    def outside(self) -> list[str]:
        """The streams that live in servers beside the bridge."""
        return [s for s in (NUMBERS, ANSWERS, LETTERS) if self._place(s).scheme not in (*EMBEDDED, "file")]

    def topic(self, stream: str) -> str:
        return f"{self.name}-{stream}" + (".jsonl" if self._place(stream).scheme == "file" else "")

    def text(self) -> str:
        """program.yaml of the audit."""
        places = {p.name: p for p in (self.source, self.sink, self.letters)}
        streams: dict[str, Any] = {
            stream: {"connection": self._place(stream).name, "topic": self.topic(stream)}
            for stream in (NUMBERS, ANSWERS, LETTERS)
        }
        command = {
            "name": COMMAND, "input": NUMBERS, "output": ANSWERS, "dead_letter": LETTERS, **self.command,
        }  # fmt: skip
        return yaml.safe_dump(
            {
                "apiVersion": "ds-runner.dev/v1alpha1",
                "kind": "Program",
                "metadata": {"name": self.name},
                "spec": {
                    "model": "pyrunner.audit.model:Known",
                    "connections": {n: {"url": p.url, "settings": _making(p)} for n, p in places.items()},
                    "streams": streams,
                    "commands": [command],
                },
            },
            sort_keys=False,
        )

    def _place(self, stream: str) -> Place:
        return {NUMBERS: self.source, ANSWERS: self.sink, LETTERS: self.letters}[stream]


def embedded_route(run: str, *, workers: int = 2, order: str = "key") -> Route:
    """The embedded broker, where no program is given."""
    place = Place("events", "embedded:")
    return Route(run, place, place, place, {"workers": workers, "order": order, "deadline": "5s"})


def route_of(run: str, program: Program, command: Command) -> Route:
    """The route of a command of the user's program."""
    assert command.input is not None and command.output is not None  # program.yaml is refused otherwise
    source = _place_of(program, command.input)
    sink = _place_of(program, command.output)
    letters = _place_of(program, command.dead_letter) if command.dead_letter else source
    _require(command.input, source, _NO_SOURCES, "embedded: or a broker's input")
    for stream, place in ((command.output, sink), (str(command.dead_letter), letters)):
        _require(stream, place, _NO_SINKS, "embedded: or a broker's output")
    said = command.model_dump(mode="json", exclude_none=True)
    return Route(run, source, sink, letters, {key: said[key] for key in _KEPT if key in said})


def _require(stream: str, place: Place, unfit: Mapping[str, str], instead: str) -> None:
    if place.scheme in unfit:
        raise UserError(f"audit: {stream} {unfit[place.scheme]}. Audit the route with an {instead}")


def _place_of(program: Program, stream: str) -> Place:
    name = program.stream(stream).connection
    connection: Connection = program.spec.connections[str(name)]
    settings = {key: str(value) for key, value in connection.settings.items()}
    return Place(str(name), _at_home(str(connection.url)), settings)


def _at_home(url: str) -> str:
    """Files of the audit go to its own folder, not into the project's."""
    return "file:" if url.startswith("file:") else url


def _making(place: Place) -> dict[str, str]:
    """The settings, by which topics may be made: the audit's own are not there yet."""
    more = {}
    if place.scheme in ("kafka", "nats", "postgres"):
        more["create"] = "true"
    if place.scheme == "kafka" and place.setting("partitions") in ("", "0"):
        more["partitions"] = _PARTITIONS
    return place.settings | more


__all__ = ["ANSWERS", "COMMAND", "LETTERS", "NUMBERS", "Place", "Route", "embedded_route", "route_of"]
