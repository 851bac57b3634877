"""A program's own commands.

    @command
    def busiest(project: Project, top: int = 3) -> None:
        "The carriers with the most flights."

makes `my-flights busiest --top 5` and, in the project's folder, `ds-runner busiest --top 5`. Options come from the
signature, as typer reads them. A parameter annotated `Project` is not an option: it is given the opened project. Nor is one annotated `Context`: by it the command
reads and writes data through the bridge, as a model does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class UserCommand:
    """One function that `@command` marked, and the name it is called by."""

    name: str
    function: Callable[..., Any]


_known: dict[str, dict[str, UserCommand]] = {}  # by top-level package, by name


@overload
def command(function: F) -> F: ...
@overload
def command(function: None = None, *, name: str | None = None) -> Callable[[F], F]: ...
def command(function: Any = None, *, name: str | None = None) -> Any:
    """Make a function a command of its program's CLI, by its own name (`_` written `-`) or the one given.

    The function itself is returned unchanged. Marking it again (a module loaded a second time) replaces the first.
    """

    def mark(f: Callable[..., Any]) -> Callable[..., Any]:
        chosen = name or f.__name__.replace("_", "-")
        _known.setdefault(_package(f), {})[chosen] = UserCommand(chosen, f)
        return f

    return mark if function is None else mark(function)


def commands_of(package: str) -> dict[str, UserCommand]:
    """The commands marked in a package and below, by name, in the order of marking. The modules must be imported already."""
    return dict(_known.get(package, {}))


def _package(function: Callable[..., Any]) -> str:
    return function.__module__.partition(".")[0]
