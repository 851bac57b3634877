"""`ds-runner tail`: the newest events of a stream of the running bridge."""

import json as jsonlib
import sys
from typing import Annotated

import typer

from pyrunner.client import records
from pyrunner.client.control import ControlClient
from pyrunner.commands.console import say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.publish import require_stream
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import open_project

WAIT_MS = 1000  # how long one call waits for new events with --follow

Lines = Annotated[
    int | None, typer.Option("--lines", "-n", min=0, help="How many. Default: 10, with --from all.")
]
From = Annotated[
    str | None, typer.Option("--from", metavar="start|now|N", help="Where to begin. Default: the last -n.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")]


def tail(
    stream: Annotated[
        str, typer.Argument(help="A stream of program.yaml, dead letters too: departures.dead.")
    ],
    lines: Lines = None,
    start: From = None,
    follow: Follow = False,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Print the newest events of a stream.

    One JSON line each. `--json` adds id, time, key and headers to each value.
    """
    project = open_project(program, env)
    require_stream(project, stream)
    with control(project, bridge, token_file) as client:
        position = _position(client, stream, start, 10 if lines is None else lines)
        left = lines if start or lines is not None else 10
        position = _print_present(client, stream, position, left, json)
        while follow:
            found, position = records.read(client, stream, position, records.PAGE, WAIT_MS)
            _print(found, json)


def _position(client: ControlClient, stream: str, start: str | None, last: int) -> int:
    if start == "start":
        return 0
    if start is not None and start != "now":
        if not start.isdigit():
            raise UserError(f"tail: --from {start}: write start, now or a position like 1000")
        return int(start)
    end = records.read(client, stream, -1, 0)[1]
    return end if start == "now" else max(0, end - last)


def _print_present(client: ControlClient, stream: str, position: int, left: int | None, json: bool) -> int:
    """Print what is there already, at most `left`; the position behind it."""
    while left is None or left > 0:
        found, position = records.read(client, stream, position, min(left or records.PAGE, records.PAGE))
        if not found:
            break
        _print(found, json)
        left = None if left is None else left - len(found)
    return position


def _print(found: list[records.Record], json: bool) -> None:
    for r in found:
        say(jsonlib.dumps(r.as_json(), ensure_ascii=False) if json else records.text(r.value) or "null")
    sys.stdout.flush()
