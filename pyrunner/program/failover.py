"""Does each connection failover: name two others that can be read and go on at a position, and say what names an event?"""

from __future__ import annotations

from dataclasses import dataclass

from pyrunner.program.circles import stream_commands
from pyrunner.program.ends import ONLY_WRITTEN
from pyrunner.program.guarantee import scheme_of, setting, text
from pyrunner.program.order import scales
from pyrunner.program.places import Path, Problems
from pyrunner.program.tree import Node, render
from pyrunner.program.words import unknown


def check_failovers(root: Node, problems: Problems) -> None:
    """Adds one problem for each setting, at the setting, or at the URL where it is missing."""
    connections = root.get("spec", "connections")
    for name, node in connections.map.items() if connections else ():
        if scheme_of(root, name) == "failover":
            wrapper = _Failover(root, problems, name, node)
            first = wrapper.side("primary", "")
            wrapper.side("secondary", first)
            wrapper.id()


def check_readers(root: Node, problems: Problems) -> None:
    """Adds one problem for each command that reads such a connection with replicas: none knows what another has seen."""
    for path, command in stream_commands(root):
        node = command.get("input")
        connection = text(root, "spec", "streams", node.text, "connection") if node else ""
        if node and scheme_of(root, connection) == "failover" and scales(command):
            told = (
                f"{node.text} is on connection {connection}, which is failover:, and one process reads it, "
                "because no other knows what it has seen. Write deploy: {scale: {min: 1, max: 1}}"
            )
            problems.add(node.place, render(root, (*path, "input")), "replicas", told)


@dataclass(slots=True)
class _Failover:
    root: Node
    problems: Problems
    name: str
    node: Node

    def side(self, key: str, before: str) -> str:
        """Checks the connection that a setting names, which is not to be the one before; returns its name."""
        given = self._given(key)
        if not given:
            told = f"is missing. It names a connection. Declared: {', '.join(self._others()) or 'none'}."
            self._report(key, "missing", told)
        elif "${" in given:
            pass
        elif given == self.name:
            self._report(key, "cycle", f"{given} wraps itself")
        elif given not in self._declared():
            self._report(key, "unknown-name", unknown("no connection", given, self._others()))
        elif given == before:
            told = f"{given} is the primary as well; the other side has to be another connection"
            self._report(key, "twice", told)
        elif why := _wrong_side(scheme_of(self.root, given)):
            self._report(key, "direction", f"{given} is {why}")
        return given

    def id(self) -> None:
        """Something has to name an event."""
        if not self._given("id"):
            told = "is missing. It says what names an event on both sides: key, header:NAME, value, or value.FIELD"
            self._report("id", "missing", told)

    def _given(self, key: str) -> str:
        """A setting, which may stand in the URL's query too."""
        if self.node.get("settings", key) is not None:
            return setting(self.root, self.name, key)
        url = self.node.get("url")
        for part in (url.text if url else "").partition("?")[2].split("&"):
            name, _, value = part.partition("=")
            if name == key:
                return value
        return ""

    def _declared(self) -> list[str]:
        connections = self.root.get("spec", "connections")
        return list(connections.map) if connections else []

    def _others(self) -> list[str]:
        return [name for name in self._declared() if name != self.name]

    def _report(self, key: str, code: str, told: str) -> None:
        """Tells of a setting, unless it is bad and has been told of."""
        settings = self.node.get("settings")
        if settings and key in settings.map and settings.map[key].bad:
            return
        node = self.node.get("settings", key) or self.node.get("url")
        path: Path = ("spec", "connections", self.name, "settings", key)
        if node is not None:
            self.problems.add(node.place, render(self.root, path), code, told)


def _wrong_side(scheme: str) -> str:
    """Why such a connection cannot be wrapped."""
    if scheme == "failover":
        return "failover: itself, and two sides are all there can be"
    if scheme == "webhook":
        return "webhook: and has no position to go on from"
    if scheme in ONLY_WRITTEN:
        return f"{scheme}: and is written, not read"
    return ""
