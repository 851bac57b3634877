"""From the bytes of a file to a tree. What YAML allows and a program.yaml does not is refused here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import yaml

from pyrunner.program.places import Place, Problems
from pyrunner.program.scalars import ScalarProblem, plain
from pyrunner.program.tree import Node, render
from pyrunner.program.words import quote

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 20_000
_VALUES = (yaml.ScalarEvent, yaml.SequenceStartEvent, yaml.MappingStartEvent)
_AROUND = (yaml.StreamStartEvent, yaml.DocumentStartEvent)
_FLOW = tuple(",[]{}")
_COLON = "behind a colon a space is missing, or quotes around it"
_TAB = "a tab stands here. YAML is written with spaces, and a tab in text as \\t in double quotes"
_TAG = "tags such as !!str are not used here. Quote what is text"


class Unreadable(Exception):
    """The file holds no tree at all; why is in the problems."""


def compose(data: bytes, file: str, problems: Problems) -> Node:
    """The tree of one document. Mistakes that leave a tree are added to `problems`; others raise Unreadable."""
    problems.files.append(file)
    composer = _Composer(file, problems)
    text = composer.decode(data)
    composer.check_tabs(text)
    try:
        events = list(yaml.parse(text, Loader=yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise composer.syntax(error) from None
    composer.check_aliases(events)
    composer.check_colons(events, text)
    return composer.document(events)


class _Composer:
    def __init__(self, file: str, problems: Problems) -> None:
        self.file, self.problems = file, problems
        self.anchors: dict[str, Node] = {}
        self.open: set[str] = set()
        self.nodes = 0

    def fail(self, place: Place, code: str, text: str) -> Unreadable:
        self.problems.add(place, "", code, text)
        return Unreadable()

    def decode(self, data: bytes) -> str:
        start = Place(self.file, 1, 1)
        if len(data) > MAX_BYTES:
            raise self.fail(start, "size", "the file is larger than 1 MiB")
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise self.fail(start, "encoding", "the file is not UTF-8") from None

    def check_tabs(self, text: str) -> None:
        """YAML allows some tabs, and its readers disagree about which: so none is."""
        at = text.find("\t")
        if at >= 0:
            line, col = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
            raise self.fail(Place(self.file, line, col), "tab", _TAB)

    def syntax(self, error: yaml.YAMLError) -> Unreadable:
        """A file that is not YAML has this one problem, whatever else is wrong with its beginning."""
        mark = getattr(error, "problem_mark", None)
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)
        reason = getattr(error, "problem", None) or getattr(error, "reason", "cannot be read")
        return self.fail(place, "yaml", f"not YAML: {reason}")

    def check_aliases(self, events: list[yaml.Event]) -> None:
        anchors: set[str | None] = set()
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                anchors.clear()
            elif isinstance(event, yaml.AliasEvent) and event.anchor not in anchors:
                raise self.fail(self.place(event), "yaml", f"not YAML: *{event.anchor} names no anchor")
            anchors.add(getattr(event, "anchor", None))

    def check_colons(self, events: list[yaml.Event], text: str) -> None:
        """Readers disagree about `{a:{b: 1}}` and `{url: embedded:}`: a colon is followed by a space, or is quoted."""
        for event in events:
            if isinstance(event, yaml.ScalarEvent) and event.style is None and event.end_mark:
                end = event.end_mark.index
                if event.value.endswith(":") or (
                    text[end : end + 1] == ":" and text[end + 1 : end + 2] in _FLOW
                ):
                    raise self.fail(self.place(event), "yaml", f"not YAML: {_COLON}")

    def document(self, events: list[yaml.Event]) -> Node:
        starts = [event for event in events if isinstance(event, yaml.DocumentStartEvent)]
        if len(starts) > 1:
            text = "a second document starts here. One file holds one program"
            raise self.fail(self.place(starts[1]), "documents", text)
        tree = itertools.dropwhile(lambda event: isinstance(event, _AROUND), events)
        root = self.node(next(tree), tree, 1) if starts else None
        if root is None or (root.value is None and not root.bad):
            text = "the file is empty. A program starts with apiVersion: ds-runner.dev/v1alpha1"
            raise self.fail(Place(self.file, 1, 1), "empty", text)
        self.tell_troubles(root)
        if not root.is_map:
            raise self.fail(root.place, "type", "a program is a map of apiVersion, kind, metadata and spec")
        return root

    def tell_troubles(self, root: Node) -> None:
        """Only the whole tree knows a value's path: commands are named by a key that may come behind the value."""
        for path, node in root.walk():
            if node.trouble:
                self.problems.add(node.place, render(root, path), *node.trouble)

    def place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file, 1, 1)

    def node(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
        place = self.place(event)
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, place, depth)
        self.count(place, depth)
        assert isinstance(event, _VALUES)
        if event.anchor:
            self.open.add(event.anchor)
        node = self.content(event, events, place, depth)
        if event.tag not in (None, "!"):
            node.bad, node.trouble = True, ("tag", _TAG)
        if event.anchor:
            self.open.discard(event.anchor)
            self.anchors[event.anchor] = node
        return node

    def count(self, place: Place, depth: int) -> None:
        self.nodes += 1
        if depth > MAX_DEPTH or self.nodes > MAX_NODES:
            raise self.fail(place, "size", f"more than {MAX_DEPTH} levels or {MAX_NODES} values")

    def content(self, event: yaml.Event, events: Iterator[yaml.Event], place: Place, depth: int) -> Node:
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(events, place, depth)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(item := next(events), yaml.SequenceEndEvent):
                items.append(self.node(item, events, depth + 1))
            return Node(items, place, origin=str(place))
        assert isinstance(event, yaml.ScalarEvent)
        return self.scalar(event, place)

    def scalar(self, event: yaml.ScalarEvent, place: Place) -> Node:
        if event.style is not None:
            return Node(event.value, place, raw=event.value, origin=str(place))
        try:
            return Node(plain(event.value), place, raw=event.value, origin=str(place))
        except ScalarProblem as problem:
            trouble = (problem.code, problem.text)
            return Node(event.value, place, raw=event.value, origin=str(place), bad=True, trouble=trouble)

    def mapping(self, events: Iterator[yaml.Event], place: Place, depth: int) -> Node:
        node = Node({}, place, origin=str(place))
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            at = self.place(event)
            if not isinstance(event, yaml.ScalarEvent):
                self.node(event, events, depth + 1)
            elif event.anchor:
                self.anchors[event.anchor] = Node(event.value, at, raw=event.value, origin=str(at))
            value = self.node(next(events), events, depth + 1)
            if value.raw == "" and value.value is None:
                value.place, value.origin = at, str(at)  # an empty value stands nowhere: its key does
            self.entry(node, event, at, value)
        return node

    def entry(self, node: Node, event: yaml.Event, at: Place, value: Node) -> None:
        if not isinstance(event, yaml.ScalarEvent):
            self.problems.add(at, "", "key", "a key is a plain word")
        elif event.tag not in (None, "!"):
            self.problems.add(at, "", "tag", _TAG)
        elif event.anchor:
            self.problems.add(at, "", "alias", "an anchor on a key is not used here")
        elif event.value == "<<" and event.style is None:
            self.problems.add(at, "", "merge", "merge keys are not used here. Write the keys out")
        elif event.value in node.map:
            text = (
                f"the key {quote(event.value)} is written twice, first in line {node.keys[event.value].line}"
            )
            self.problems.add(at, "", "duplicate-key", text)
        else:
            node.put(event.value, value)
            node.keys[event.value] = at

    def alias(self, event: yaml.AliasEvent, place: Place, depth: int) -> Node:
        assert event.anchor is not None
        if event.anchor in self.open:
            raise self.fail(place, "alias", f"*{event.anchor} contains itself")
        return self.copy(self.anchors[event.anchor], place, depth)

    def copy(self, node: Node, place: Place, depth: int) -> Node:
        """Each use of an anchor is its own tree, or else merging into one would change the others.

        Troubles are told once, where they were written.
        """
        self.count(place, depth)
        value = node.value
        if isinstance(value, dict):
            value = {k: self.copy(n, place, depth + 1) for k, n in value.items()}
        elif isinstance(value, list):
            value = [self.copy(n, place, depth + 1) for n in value]
        return Node(value, node.place, raw=node.raw, keys=dict(node.keys), origin=node.origin, bad=node.bad)
