"""`ds-runner models`: the trained models of a program: list, show, alias."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from pyrunner.commands.console import emit, say
from pyrunner.commands.figures import compared
from pyrunner.commands.options import Env, Json, ProgramPath
from pyrunner.project import Project, open_project

if TYPE_CHECKING:
    from pyrunner.models import Version

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="List, show and name trained models.")

Ref = Annotated[str, typer.Argument(metavar="REF", help="A version or an alias.")]


@app.command("list")
def list_(program: ProgramPath = None, env: Env = None, json: Json = False) -> None:
    """Each version, with its aliases, metrics and where it came from."""
    project = open_project(program, env)
    versions, aliases = project.store.list(project.name), project.store.aliases(project.name)
    if json:
        emit([{**_shown(v), "aliases": _names(aliases, v.version)} for v in versions])
        return
    if not versions:
        say(f"no trained model for {project.name}. Run: ds-runner train")
    for v in versions:
        names = ", ".join(_names(aliases, v.version))
        say("  ".join(part for part in (f"{v.version:>4}", f"{names:<10}", *_facts(v)) if part.strip()))


@app.command()
def show(ref: Ref = "latest", program: ProgramPath = None, env: Env = None, json: Json = False) -> None:
    """The manifest of one version: files with their sha256, class, params, signature, metrics, libraries."""
    project = open_project(program, env)
    version = project.store.version(project.name, ref)
    if json:
        emit(_shown(version))
        return
    say(f"{version.name} {version.version} in {_relative(version.path, project)}")
    for key, value in _shown(version).items():
        if isinstance(value, dict) and value:
            say(f"{key} (sha256)" if key == "files" else key)
            for name, inner in value.items():
                say(f"  {name:<20} {inner}")
        elif value not in ("", {}, None):
            say(f"{key:<22} {value}")


@app.command()
def alias(
    name: Annotated[str, typer.Argument(help="The alias, such as champion.")],
    ref: Ref,
    program: ProgramPath = None,
    env: Env = None,
) -> None:
    """Point an alias at a version, at one moment for all readers."""
    project = open_project(program, env)
    project.store.alias(project.name, name, ref)
    say(f"{name} -> {project.store.resolve(project.name, name)}")


def _shown(version: "Version") -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(version.manifest)
    return shown


def _names(aliases: dict[str, str], version: str) -> list[str]:
    return [name for name, number in aliases.items() if number == version]


def _facts(version: "Version") -> list[str]:
    m = version.manifest
    return [m.created, f"{m.rows:,} rows", compared(m.metrics, m.baseline), m.git_commit[:12]]


def _relative(path: Path, project: Project) -> Path:
    return path.relative_to(project.folder) if path.is_relative_to(project.folder) else path
