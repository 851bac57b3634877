"""`ds-runner schema`: the JSON Schemas of a program's events, or of program.yaml."""

import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from pyrunner.commands.console import emit
from pyrunner.commands.options import Env, Params, ProgramPath
from pyrunner.project import open_project


class Of(StrEnum):
    """What is described."""

    input = "input"
    output = "output"
    program = "program"


def schema(
    of: Annotated[Of, typer.Argument(help="The model's input or output, or program.yaml itself.")] = Of.input,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
) -> None:
    """Print a JSON Schema.

    Of the events that the model takes, of those it gives, or of program.yaml.
    """
    if of is Of.program:
        from pyrunner.program.schema import program_schema

        emit(program_schema())
        return
    emit(_described(open_project(program, env, param).model_class())[of.value])


def _described(model: type[Any]) -> dict[str, Any]:
    from pyrunner.signature import read_signature

    described: dict[str, Any] = json.loads(read_signature(model).describe())
    return described
