"""`ds-runner tail`: the newest events of a stream of the running bridge."""

import json as jsonlib
import sys
from typing import Annotated

import typer

from pyrunner.client import cursors, records
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
    str | None,
    typer.Option("--from", metavar="start|now|OFFSET|CURSOR", help="Where to begin. Default: the last -n."),
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

    Of all its partitions, by their times. One JSON line each. `--json` adds id, time, key and headers to each value.
    """
    project = open_project(program, env)
    require_stream(project, stream)
    with control(project, bridge, token_file) as client:
        if start:
            cursor = _print_from(client, stream, _cursor(client, stream, start), lines, json)
        else:
            found, cursor = records.newest(client, stream, 10 if lines is None else lines)
            _print(found, json)
        while follow:
            found, cursor = records.read(client, stream, cursor, records.PAGE, WAIT_MS)
            _print(found, json)


def _cursor(client: ControlClient, stream: str, start: str) -> str:
    """Where `--from` says: an offset is meant in every partition."""
    if start == "start":
        return cursors.OLDEST
    if start == "now":
        return records.end_of(client, stream)
    if start.isdigit():
        return cursors.of(dict.fromkeys(cursors.offsets(records.end_of(client, stream)), int(start)))
    if cursors.valid(start):
        return start
    raise UserError(
        f"tail: --from {start}: write start, now, an offset like 1000, or one for each partition like 0:1000,1:980"
    )


def _print_from(client: ControlClient, stream: str, cursor: str, left: int | None, json: bool) -> str:
    """Print what is there already, at most `left`; the cursor behind it."""
    while left is None or left > 0:
        found, cursor = records.read(client, stream, cursor, min(left or records.PAGE, records.PAGE))
        if not found:
            break
        _print(found, json)
        left = None if left is None else left - len(found)
    return cursor


def _print(found: list[records.Record], json: bool) -> None:
    for r in found:
        say(jsonlib.dumps(r.as_json(), ensure_ascii=False) if json else records.text(r.value) or "null")
    sys.stdout.flush()
