"""The tree of a program.yaml: every value with its place, before it means anything.

Built from YAML events rather than by a loader, because a loader forgets places, keeps the last of two equal keys and
resolves words as YAML 1.1 does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyrunner.program.places import Path, Place
from pyrunner.program.words import quote

_SIMPLE = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(slots=True)
class Node:
    """A map, list or scalar. `origin` says who gave the value; a node that is `bad` has been told of already, or will
    be by its `trouble` (code and text)."""

    value: dict[str, Node] | list[Node] | str | int | float | bool | None
    place: Place
    raw: str = ""
    keys: dict[str, Place] = field(default_factory=dict)
    origin: str = ""
    bad: bool = False
    trouble: tuple[str, str] | None = None

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def map(self) -> dict[str, Node]:
        """The items of a map that is sound, else none."""
        return self.value if isinstance(self.value, dict) and not self.bad else {}

    @property
    def items(self) -> list[Node]:
        """The items of a list that is sound, else none."""
        return self.value if isinstance(self.value, list) and not self.bad else []

    @property
    def text(self) -> str:
        """The text of a scalar that is sound, else nothing."""
        return self.value if isinstance(self.value, str) and not self.bad else ""

    def get(self, *path: str) -> Node | None:
        """The sound node below, or nothing."""
        node: Node | None = self
        for key in path:
            node = node.map.get(key) if node else None
        return node if node and not node.bad else None

    def put(self, key: str, node: Node) -> Node:
        """Sets a key of a map; its place is the node's."""
        assert isinstance(self.value, dict)
        self.value[key] = node
        self.keys.setdefault(key, node.place)
        return node

    def plain(self) -> Any:
        """The values alone, without those that are bad; in lists None stands for them, so that indexes hold."""
        if isinstance(self.value, dict):
            return {k: n.plain() for k, n in self.value.items() if not n.bad}
        if isinstance(self.value, list):
            return [None if n.bad else n.plain() for n in self.value]
        return self.value

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Node]]:
        """All nodes with their paths, parents first."""
        yield path, self
        if isinstance(self.value, dict):
            for key, node in self.value.items():
                yield from node.walk((*path, key))
        elif isinstance(self.value, list):
            for at, node in enumerate(self.value):
                yield from node.walk((*path, at))

    def child(self, step: str | int) -> Node | None:
        """The node one step below, sound or not."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None

    def at(self, path: Path) -> Node:
        """The node at a path of walk, or the last one on the way to it."""
        node = self
        for step in path:
            child = node.child(step)
            if child is None:
                break
            node = child
        return node


def grow(value: Any, place: Place, origin: str) -> Node:
    """A tree of plain values that nobody wrote: defaults and what was inferred."""
    if isinstance(value, dict):
        children = {k: grow(v, place, origin) for k, v in value.items()}
        return Node(children, place, keys=dict.fromkeys(children, place), origin=origin)
    if isinstance(value, list):
        return Node([grow(v, place, origin) for v in value], place, origin=origin)
    return Node(value, place, raw=str(value), origin=origin)


def render(root: Node, path: Path) -> str:
    """A path as people read it: without `spec`, commands by name: `commands.score-stream.batch.events`."""
    shown = path[1:] if len(path) > 1 and path[0] == "spec" else path
    text = ""
    for at, step in enumerate(shown):
        if isinstance(step, int):
            name = _name(root, path[: at + 1 + len(path) - len(shown)])
            text += f".{name}" if name else f"[{step}]"
        else:
            word = step if _SIMPLE.fullmatch(step) else quote(step)
            text += f".{word}" if text else word
    return text


def _name(root: Node, path: Path) -> str:
    if len(path) != 3 or path[:2] != ("spec", "commands"):
        return ""
    item = root.at(path).value
    name = item.get("name") if isinstance(item, dict) else None
    return name.value if name and isinstance(name.value, str) else ""
