"""Do the names in a resolved tree fit together? Kinds, references, what a kind takes, circles, ranges."""

from __future__ import annotations

from collections.abc import Iterator

from pyrunner.program.circles import check_circles
from pyrunner.program.ends import check_ends, check_requests
from pyrunner.program.failover import check_failovers, check_readers
from pyrunner.program.formats import check_formats
from pyrunner.program.guarantee import check_guarantees
from pyrunner.program.kinds import COMMON_FIELDS, DATASET, KINDS, STREAM
from pyrunner.program.order import check_order
from pyrunner.program.places import Path, Problems
from pyrunner.program.resolve import command_kind
from pyrunner.program.tree import Node, render
from pyrunner.program.versions import check_versions
from pyrunner.program.words import quote, unknown

_SECTIONS = {"stream": "streams", "dataset": "datasets", "connection": "connections"}


def check_duplicates(root: Node, problems: Problems) -> None:
    """Two commands of one name in one file, before another file is merged by name."""
    first: dict[str, int] = {}
    for path, command in _commands(root):
        name = command.get("name")
        if name is None or not name.text:
            continue
        if name.text in first:
            text = f"a second command {quote(name.text)}, the first is in line {first[name.text]}"
            problems.add(name.place, render(root, (*path, "name")), "duplicate", text)
        first.setdefault(name.text, name.place.line)


def check_names(root: Node, problems: Problems) -> None:
    """Adds a problem for each name that does not fit."""
    store = root.get("spec", "model_store")
    _check_reference(root, ("spec", "model_store"), store, "connection", problems)
    _check_datasets(root, problems)
    _check_streams(root, problems)
    for path, command in _commands(root):
        kind = command_kind(command)
        if kind:
            _check_command(root, path, command, kind, problems)
        else:
            _unknown_kind(root, path, command, problems)
    check_circles(root, problems)
    check_guarantees(root, problems)
    check_ends(root, problems)
    check_requests(root, problems)
    check_failovers(root, problems)
    check_readers(root, problems)
    check_order(root, problems)
    check_formats(root, problems)
    check_versions(root, problems)


def _commands(root: Node) -> Iterator[tuple[Path, Node]]:
    commands = root.get("spec", "commands")
    for at, command in enumerate(commands.items if commands else []):
        yield ("spec", "commands", at), command


def _declared(root: Node, what: str) -> list[str]:
    part = root.get("spec", _SECTIONS[what])
    return [n for n, node in part.map.items() if not node.origin.startswith("inferred")] if part else []


def _known(root: Node, what: str) -> list[str]:
    part = root.get("spec", _SECTIONS[what])
    return list(part.map) if part else []


def _unsound(root: Node, what: str) -> bool:
    """A section that is no map has been told of; nobody knows what it would have declared."""
    spec = root.get("spec")
    section = spec.child(_SECTIONS[what]) if spec else None
    return section is not None and section.bad


def _check_datasets(root: Node, problems: Problems) -> None:
    """Each is a file or a query, and only a query has what belongs to one."""
    datasets = root.get("spec", "datasets")
    for name, dataset in datasets.map.items() if datasets else ():
        if not dataset.is_map or dataset.bad:
            continue
        path: Path = ("spec", "datasets", name)
        if "query" in dataset.map:
            _check_query(root, path, dataset, problems)
        elif "path" not in dataset.map:
            text = "is missing. For example: data/history.parquet"
            problems.add(dataset.place, render(root, (*path, "path")), "missing", text)
        else:
            for key in ("connection", "params"):
                if key in dataset.map and not dataset.map[key].bad:
                    text = "belongs to a query, and this dataset is a file"
                    problems.add(dataset.keys[key], render(root, (*path, key)), "not-for-kind", text)


def _check_query(root: Node, path: Path, dataset: Node, problems: Problems) -> None:
    if "path" in dataset.map:
        text = "a dataset is a file or a query, not both. Leave out path or query"
        problems.add(dataset.keys["path"], render(root, (*path, "path")), "not-for-kind", text)
    if "connection" not in dataset.map and not _unsound(root, "connection"):
        text = f"is missing. Declared: {', '.join(_declared(root, 'connection')) or 'none'}."
        problems.add(dataset.place, render(root, (*path, "connection")), "missing", text)
    _check_reference(root, (*path, "connection"), dataset.get("connection"), "connection", problems)


def _check_streams(root: Node, problems: Problems) -> None:
    streams = root.get("spec", "streams")
    for name, stream in streams.map.items() if streams else ():
        path: Path = ("spec", "streams", name)
        if _lacks_connection(stream) and not _unsound(root, "connection"):
            text = f"is missing. Declared: {', '.join(_declared(root, 'connection')) or 'none'}."
            problems.add(stream.place, render(root, (*path, "connection")), "missing", text)
        _check_reference(root, (*path, "connection"), stream.get("connection"), "connection", problems)
        dead = stream.get("dead_letter")
        if dead and dead.text != f"{name}.dead":
            _check_reference(root, (*path, "dead_letter"), dead, "stream", problems)
        _check_reference(root, (*path, "registry"), stream.get("registry"), "connection", problems)


def _lacks_connection(stream: Node) -> bool:
    written = stream.is_map and not stream.bad and not stream.origin.startswith("inferred")
    return written and "connection" not in stream.map


def _unknown_kind(root: Node, path: Path, command: Node, problems: Problems) -> None:
    key = "kind" if "kind" in command.map else "name"
    node = command.get(key)
    if node is None or not node.text:
        return
    text = unknown("no kind of command", node.text, KINDS, "Known")
    if key == "name":
        text += " A command with a name of its own says its kind."
    problems.add(node.place, render(root, (*path, key)), "kind", text)


def _check_command(root: Node, path: Path, command: Node, kind: str, problems: Problems) -> None:
    fields = KINDS[kind]["fields"]
    for key, node in command.map.items():
        if key in fields:
            if fields[key]:
                _check_reference(root, (*path, key), command.get(key), fields[key], problems)
        elif key not in COMMON_FIELDS and not node.bad:
            text = f"a command of kind {kind} takes no {key}. It takes: {', '.join(fields)}."
            problems.add(command.keys[key], render(root, (*path, key)), "not-for-kind", text)
    if kind == "score-stream":
        for key in ("input", "output"):
            if key not in command.map:
                text = f"is missing. Declared: {', '.join(_declared(root, 'stream')) or 'none'}."
                problems.add(command.place, render(root, (*path, key)), "missing", text)
    _check_belonging(root, path, command, kind, problems)
    _check_scale(root, path, command, problems)


def _check_belonging(root: Node, path: Path, command: Node, kind: str, problems: Problems) -> None:
    """What is said about a shadow needs one."""
    for key, belonging in KINDS[kind].get("with", {}).items():
        for name in belonging:
            if name in command.map and key not in command.map:
                example = "requests" if key == "request_log" else "latest"
                text = f"belongs to {key}, which is missing. Write for example {key}: {example}"
                problems.add(command.keys[name], render(root, (*path, name)), "not-for-kind", text)


def _check_reference(root: Node, path: Path, node: Node | None, what: str, problems: Problems) -> None:
    if node is None or not node.text or node.origin.startswith("inferred"):
        return
    kinds = what.split(" or ")
    if any(_unsound(root, k) or node.text in _known(root, k) for k in kinds):
        return
    other = {STREAM: DATASET, DATASET: STREAM}.get(what)
    if other and node.text in _known(root, other):
        text = f"{quote(node.text)} is a {other}, and a {what} is wanted here"
    else:
        text = unknown(f"no {what}", node.text, [n for k in kinds for n in _declared(root, k)])
    problems.add(node.place, render(root, path), "unknown-name", text)


def _check_scale(root: Node, path: Path, command: Node, problems: Problems) -> None:
    least, most = command.get("deploy", "scale", "min"), command.get("deploy", "scale", "max")
    if (
        least
        and most
        and isinstance(least.value, int)
        and isinstance(most.value, int)
        and least.value > most.value
    ):
        text = f"{least.value} is more than max, which is {most.value}"
        problems.add(least.place, render(root, (*path, "deploy", "scale", "min")), "range", text)
