"""Secrets are references: `${env:NAME}` and `${file:/path}`, in connections only, never the secret itself.

Python checks their spelling and leaves them as they are; the bridge alone reads what they name.
"""

from __future__ import annotations

import re

from pyrunner.program.places import Path, Problems
from pyrunner.program.tree import Node, render

_REFERENCE = re.compile(r"\$\{(?:env:[A-Za-z_][A-Za-z0-9_]*|file:/[^}]*)\}")
_VARIABLE = re.compile(r"\$\{env:([A-Za-z_][A-Za-z0-9_]*)\}")
_OPENING = re.compile(r"\$\{[^}]{0,40}\}?")
_USERINFO = re.compile(r"(//[^/?#@:,]*:)([^/?#,]*)@")
_SECRET = r"(?i:password|passwd|secret|token|api_?key)"
_QUERY = re.compile(rf"([?&][A-Za-z0-9_.-]*{_SECRET}=)([^&#]+)")
_SETTING = re.compile(rf".*{_SECRET}")
_HOLE = "\x01"  # stands for a reference while the rest of a URL is looked at


def variables_of(text: str) -> list[str]:
    """The environment variables that the references in a text name."""
    return _VARIABLE.findall(text)


def check_secrets(root: Node, problems: Problems) -> None:
    """Adds a problem for each literal secret, each misspelt reference, and each reference outside connections."""
    connections = root.get("spec", "connections")
    for name, connection in (connections.map if connections else {}).items():
        path: Path = ("spec", "connections", name)
        if url := connection.get("url"):
            _check_url(root, (*path, "url"), name, url, problems)
        settings = connection.get("settings")
        for key, node in (settings.map if settings else {}).items():
            _check_setting(root, (*path, "settings", key), f"{name}_{key}", node, problems)
    _check_elsewhere(root, problems)


def _check_url(root: Node, path: Path, name: str, node: Node, problems: Problems) -> None:
    if _misspelt(root, path, node, problems):
        return
    variable = _variable(f"{name}_password")
    holes = _REFERENCE.findall(node.text)
    bare = _REFERENCE.sub(_HOLE, node.text)
    mended = bare
    for pattern, tail in ((_USERINFO, "@"), (_QUERY, "")):
        mended = pattern.sub(lambda m, tail=tail: m[1] + _instead(m[2], variable) + tail, mended)  # type: ignore[misc]
    if mended == bare:
        return
    mended = _refill(mended, holes, bare, variable)
    problems.add(
        node.place,
        render(root, path),
        "password",
        f"a password stands in the URL. Write {mended} and set {variable}",
    )


def _instead(value: str, variable: str) -> str:
    return f"${{env:{variable}}}" if value.strip(_HOLE) else value


def _refill(mended: str, holes: list[str], bare: str, variable: str) -> str:
    """Puts the references back. Where a replaced password held some, their number no longer fits: then show none."""
    if mended.count(_HOLE) != len(holes):
        return f"${{env:{variable}}} in its place"
    for hole in holes:
        mended = mended.replace(_HOLE, hole, 1)
    return mended


def _check_setting(root: Node, path: Path, name: str, node: Node, problems: Problems) -> None:
    if _misspelt(root, path, node, problems) or not _SETTING.fullmatch(str(path[-1])):
        return
    if isinstance(node.value, bool) or node.bad or _REFERENCE.fullmatch(node.text):
        return
    variable = _variable(name)
    problems.add(
        node.place,
        render(root, path),
        "password",
        f"a secret stands in the file. Write ${{env:{variable}}} and set {variable}",
    )


def _misspelt(root: Node, path: Path, node: Node, problems: Problems) -> bool:
    found = _OPENING.search(_REFERENCE.sub("", node.text))
    if found:
        text = f"{found[0]} is no reference. Write ${{env:NAME}} or ${{file:/path}}"
        problems.add(node.place, render(root, path), "reference", text)
    return found is not None


def _check_elsewhere(root: Node, problems: Problems) -> None:
    for path, node in root.walk():
        if path[:2] != ("spec", "connections") and _REFERENCE.search(node.text):
            text = "references to secrets are read in connections only"
            problems.add(node.place, render(root, path), "reference", text)


def _variable(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())
