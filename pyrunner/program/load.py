"""Loads a program.yaml: files to one tree, all problems at once, then the resolved Program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pyrunner.errors import UserError
from pyrunner.program.compose import Unreadable, compose
from pyrunner.program.merge import apply_params, drop_nulls, overlay
from pyrunner.program.models import Program
from pyrunner.program.names import check_duplicates, check_names
from pyrunner.program.places import Place, Problem, Problems
from pyrunner.program.resolve import resolve
from pyrunner.program.secrets import check_secrets
from pyrunner.program.structure import check_structure
from pyrunner.program.tree import Node, render


class ProgramError(UserError):
    """A program.yaml with mistakes: `problems` lists them, the text has one line for each."""

    def __init__(self, problems: Problems) -> None:
        super().__init__(str(problems))
        self.problems: list[Problem] = problems.in_order()


def load_program(path: Path | str, env: str | None = None, params: Sequence[str] = ()) -> Program:
    """The program of a file, with `program.<env>.yaml` laid over it, then `name=value` parameters.

    Defaults and inferred values are filled in; `origins` tells who gave each. Secrets stay references. Paths of
    datasets are relative to `Program.folder`. Raises ProgramError with all problems at once.
    """
    path, problems = Path(path), Problems()
    try:
        root = _tree(path, env, problems)
    except Unreadable:
        raise ProgramError(problems) from None
    apply_params(root, params, problems)
    drop_nulls(root)
    check_structure(root, problems)
    check_secrets(root, problems)
    resolve(root)
    check_names(root, problems)
    if problems.found:
        raise ProgramError(problems)
    return _program(root, path)


def _tree(path: Path, env: str | None, problems: Problems) -> Node:
    root = _read(path, path, problems)
    check_duplicates(root, problems)
    if env:
        over = _read(path.with_name(f"{path.stem}.{env}{path.suffix}"), path, problems, env)
        check_duplicates(over, problems)
        root = overlay(root, over)
    return root


def _read(path: Path, base: Path, problems: Problems, env: str = "") -> Node:
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.add(*_unread(path, base, env, error))
        raise Unreadable from None
    return compose(data, str(path), problems)


def _unread(path: Path, base: Path, env: str, error: OSError) -> tuple[Place, str, str, str]:
    if not isinstance(error, FileNotFoundError):
        return Place(str(path)), "", "file", f"cannot be read: {error.strerror}"
    if not env:
        return Place(str(path)), "", "file", "there is no such file. Make a project with: ds-runner new"
    beside = sorted(p.name for p in base.parent.glob(f"{base.stem}.*{base.suffix}"))
    text = f"no {path.name} beside {base.name}. Found: {', '.join(beside) or 'none'}."
    return Place(f"--env {env}"), "", "file", text


def _program(root: Node, path: Path) -> Program:
    program = Program.model_validate(root.plain())
    program._folder = path.parent
    program._origins = {
        render(root, p): n.origin
        for p, n in root.walk()
        if not isinstance(n.value, (dict, list)) or (not n.value and n.origin)
    }
    return program
