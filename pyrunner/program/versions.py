"""Refuses versions side by side of which none would get a request, and further models by the program's own name."""

from __future__ import annotations

from pyrunner.program.places import Problems
from pyrunner.program.tree import Node, render


def check_versions(root: Node, problems: Problems) -> None:
    """Adds one problem for each command whose versions have no weight, at the versions."""
    commands = root.get("spec", "commands")
    for at, command in enumerate(commands.items if commands else []):
        _check_models(root, at, command, problems)
        versions = command.get("versions")
        if versions is None or not versions.is_map or versions.bad:
            continue
        if any(n.bad or n.value != 0 for n in versions.map.values()):
            continue
        text = "none has a weight, so none would be asked. Write for example {3: 90, 4: 10}"
        problems.add(versions.place, render(root, ("spec", "commands", at, "versions")), "range", text)


def _check_models(root: Node, at: int, command: Node, problems: Problems) -> None:
    models, own = command.get("models"), root.get("metadata", "name")
    if models is None or not models.is_map or own is None or own.text not in models.map:
        return
    text = "is this program's own name. Its model is served already: leave it out"
    path = ("spec", "commands", at, "models", own.text)
    problems.add(models.keys[own.text], render(root, path), "duplicate", text)
