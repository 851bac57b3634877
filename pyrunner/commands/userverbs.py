"""The program's own `@command` functions as verbs of the CLI."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, get_type_hints

import typer
from typer.main import get_command

from pyrunner.commands.options import Env, Params, ProgramPath
from pyrunner.context import Context
from pyrunner.data.connect import access_to
from pyrunner.project import Project, find_program, import_commands, looking_for, open_project
from pyrunner.usercommands import UserCommand, commands_of


def user_verbs(package: str | None) -> list[str]:
    """The names of the program's own commands; none outside a project."""
    return list(_commands(package))


def user_verb(name: str, package: str | None) -> Any:
    """The program's own command as one of typer's, or None."""
    found = _commands(package).get(name)
    return _as_verb(found) if found else None


def _commands(package: str | None) -> dict[str, UserCommand]:
    with looking_for(package):
        path = find_program(None, missing_ok=True)
    if path is None:
        return {}
    return commands_of(import_commands(open_project(path)))


def _as_verb(command: UserCommand) -> Any:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(command.name)(_with_project(command.function))
    return get_command(app)


def _with_project(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the function its `Project` and `Context`, by the options that all verbs have, in place of those parameters."""
    hints = get_type_hints(function, include_extras=True)
    signature = inspect.signature(function)
    wanted = {n: hints[n] for n in signature.parameters if hints.get(n) in (Project, Context)}
    if not wanted:
        return function

    @wraps(function)
    def verb(*, program: Any, env: Any, param: Any, **given: Any) -> Any:
        project = open_project(program, env, param or ())
        with access_to(project) as access:
            offered = {Project: project, Context: Context(access=access)}
            return function(**given, **{name: offered[kind] for name, kind in wanted.items()})

    own = [
        p.replace(kind=p.KEYWORD_ONLY, annotation=hints.get(n, p.annotation))
        for n, p in signature.parameters.items()
        if n not in wanted
    ]
    shared = [
        inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=a)
        for n, a in (("program", ProgramPath), ("env", Env), ("param", Params))
    ]
    verb.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    verb.__annotations__ = {p.name: p.annotation for p in (*own, *shared)}
    return verb
