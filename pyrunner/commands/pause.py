"""`ds-runner pause` and `ds-runner resume`: have a command read nothing for a while."""

from typing import Annotated, Any

import typer

from pyrunner.commands.console import emit, note, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.running import control
from pyrunner.project import open_project

SECONDS = 30.0  # what is at work has so long to end

Name = Annotated[
    str,
    typer.Argument(metavar="STREAM-OR-COMMAND", help="A command, or a stream for all commands that read it."),
]


def pause(
    name: Name,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Read no more of a stream until `resume`.

    What was read is scored, stored and committed, then the stream is left. A bridge that is started again stays paused.
    """
    with control(open_project(program, env), bridge, token_file) as client:
        found = client.call("pause", name, deadline=SECONDS)
    _tell(found, "paused", "was paused already", json, was=True)
    if not json:
        note(f"Go on with: ds-runner resume {name}")


def resume(
    name: Name,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Go on behind the last event that was settled."""
    with control(open_project(program, env), bridge, token_file) as client:
        found = client.call("resume", name)
    _tell(found, "resumed", "was not paused", json, was=False)


def _tell(found: list[list[Any]], done: str, already: str, json: bool, *, was: bool) -> None:
    if json:
        emit([{"command": c, "stream": s, "was_paused": paused} for c, s, paused in found])
        return
    for command, stream, paused in found:
        say(f"{command} of {stream}: {already if paused == was else done}")
