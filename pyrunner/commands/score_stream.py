"""`ds-runner score-stream` (alias `stream-score`): workers that score a stream, beside a bridge or with one of their own."""

from typing import Annotated

import typer

from pyrunner.commands.options import (
    BridgeAddress,
    Env,
    Metrics,
    ModelRef,
    Params,
    ProgramPath,
    TokenFile,
    Workers,
    listening,
)
from pyrunner.local import command_of, serve
from pyrunner.project import open_project

Name = Annotated[
    str, typer.Option("--command", metavar="NAME", help="A command of program.yaml of this kind.")
]


def score_stream(
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    workers: Workers = None,
    model: ModelRef = None,
    metrics: Metrics = None,
    command: Name = "score-stream",
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
) -> None:
    """Score a stream until told to end.

    SIGTERM or Ctrl-C drain. With --bridge only the workers run here, as in a pod.
    """
    project = open_project(program, env, param)
    served = command_of(project, "score-stream", command)
    at = listening(metrics)
    raise typer.Exit(serve(project, served, bridge, token_file, model=model, workers=workers, metrics=at))
