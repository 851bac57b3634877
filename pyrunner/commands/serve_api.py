"""`ds-runner serve-api`: workers that answer HTTP requests, beside a bridge or with one of their own."""

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


def serve_api(
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    workers: Workers = None,
    model: ModelRef = None,
    metrics: Metrics = None,
    command: Name = "serve-api",
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
) -> None:
    """Serve the model over HTTP.

    SIGTERM or Ctrl-C drain. With --bridge only the workers run here, as in a pod.
    """
    project = open_project(program, env, param)
    served = command_of(project, "serve-api", command)
    at = listening(metrics)
    raise typer.Exit(serve(project, served, bridge, token_file, model=model, workers=workers, metrics=at))
