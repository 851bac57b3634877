"""`ds-runner config`: program.yaml as it is in force, and who gave each value."""

import json
from collections.abc import Iterator
from typing import Any

from pyrunner.commands.console import emit, say
from pyrunner.commands.options import Env, Json, Params, ProgramPath
from pyrunner.project import open_project


def config(program: ProgramPath = None, env: Env = None, param: Params = None, json_: Json = False) -> None:
    """Print program.yaml as it is in force.

    With every default, and who gave each value.
    """
    project = open_project(program, env, param)
    resolved = project.program.model_dump(mode="json", exclude_none=True)
    origins = project.program.origins
    if json_:
        emit({"program": resolved, "origins": origins, "path": str(project.path)})
        return
    leaves = ((path.removeprefix("spec."), value) for path, value in _leaves(resolved, ""))
    rows = [(path, _shown(value), _origin(path, origins)) for path, value in leaves]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    for path, value, origin in rows:
        say(f"{path:<{widths[0]}}  {value:<{min(widths[1], 50)}}  {origin}".rstrip())


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            name = inner.get("name", i) if isinstance(inner, dict) else i
            yield from _leaves(inner, f"{path}.{name}")
    else:
        yield path, value


def _origin(path: str, origins: dict[str, str]) -> str:
    """The origin of the value, or of the nearest thing around it."""
    while path:
        if path in origins:
            return origins[path]
        path = path.rpartition(".")[0]
    return ""


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
