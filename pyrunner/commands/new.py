"""`ds-runner new`: a project from the template."""

import keyword
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from pyrunner.commands.console import count, say
from pyrunner.errors import UserError
from pyrunner.resources import template_folder


class Example(StrEnum):
    """The variants of the template."""

    flights = "flights"
    minimal = "minimal"
    sklearn = "sklearn"


def new(
    name: Annotated[
        str | None, typer.Argument(help="The project's name and folder, like my-flights.")
    ] = None,
    example: Annotated[Example | None, typer.Option(help="What science.py holds to begin with.")] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", help="Where the folder is made.")] = Path("."),
    no_input: Annotated[bool, typer.Option("--no-input", help="Ask nothing, take the defaults.")] = False,
) -> None:
    """Make a project from the template."""
    ask = not no_input and sys.stdin.isatty()
    name = name or _asked_name(ask)
    example = example or _asked_example(ask)
    package = _package_name(name)
    _refuse_existing(output_dir / name)
    folder = _bake({"project_name": name, "example": example.value}, output_dir)
    files = [f for f in folder.rglob("*") if f.is_file()]
    say(
        f"created {folder.name}/ ({count(len(files), 'file')}). You edit {package}/science.py. "
        f"Next: cd {folder.name} && pip install -e . && ds-runner check"
    )


def _asked_name(ask: bool) -> str:
    if not ask:
        raise UserError("new: a name is missing. Write: ds-runner new my-flights")
    return str(typer.prompt("Name of the project", default="my-flights"))


def _asked_example(ask: bool) -> Example:
    if not ask:
        return Example.flights
    choices = ", ".join(Example)
    while True:
        answer = typer.prompt(f"Example ({choices})", default=Example.flights.value)
        if answer in list(Example):
            return Example(answer)


def _package_name(name: str) -> str:
    """`my-flights` -> `my_flights`. The folder's name is also the program's, a DNS label, because a cluster takes it."""
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise UserError(
            f"new: {name!r} cannot be a project's name. Use lower-case letters, digits and -, beginning with a letter, "
            f"at most 63. For example: {_suggested(name)}"
        )
    package = name.replace("-", "_")
    if keyword.iskeyword(package) or package in sys.stdlib_module_names or package == "pyrunner":
        raise UserError(f"new: {package!r} would hide the Python module of that name. For example: my-{name}")
    return package


def _suggested(name: str) -> str:
    cleaned = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return re.sub(r"^[^a-z]*", "", cleaned)[:63].strip("-") or "my-flights"


def _refuse_existing(folder: Path) -> None:
    if folder.exists():
        raise UserError(f"new: {folder} is there already. Choose another name, or remove it")


def _bake(context: dict[str, Any], output_dir: Path) -> Path:
    from cookiecutter.exceptions import CookiecutterException
    from cookiecutter.main import cookiecutter

    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        made = cookiecutter(
            str(template_folder()),
            no_input=True,
            extra_context=context,
            output_dir=str(output_dir),
            default_config=True,  # a user's ~/.cookiecutterrc is for other templates
        )
    except (CookiecutterException, OSError) as e:
        raise UserError(f"new: the template could not be rendered: {e}") from e
    return Path(made)
