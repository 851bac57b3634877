"""`ds-runner dead`: events that could not be scored: list, show, replay, drop.

A dead letter is called by its stream and its number there, the oldest is 1, as `list` and `show` count; of several partitions
the letters of the first come first. Numbers move up when letters leave, so that those of one command line are all looked up before anything is done.
"""

from __future__ import annotations

import datetime
import json as jsonlib
import sys
from itertools import islice
from typing import Annotated, Any

import typer

from pyrunner.client.control import ControlClient
from pyrunner.client.records import Record, read_in_order, record, text, value
from pyrunner.commands import NOT_SO
from pyrunner.commands.console import count, emit, note, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Dead letters: list, show, replay, drop.")

LISTED = 20

Stream = Annotated[
    str, typer.Argument(help="A stream of dead letters, such as departures.dead, or its input.")
]
Numbers = Annotated[
    list[int] | None, typer.Argument(metavar="NUMBER...", help="As `dead list STREAM` counts.")
]
All = Annotated[bool, typer.Option("--all", help="All that are there now.")]


@app.command("list")
def list_(
    stream: Annotated[str | None, typer.Argument(help="List the letters of this stream, one by one.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many letters at most.")] = LISTED,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """How many there are and why, a line a stream.

    With a stream: its letters, a line each.
    """
    project = open_project(program, env)
    with control(project, bridge, token_file) as client:
        if stream:
            letters = list(islice(read_in_order(client, _dead_letters_of(project, stream)), lines))
            _list_letters(letters, json)
        else:
            _list_streams(client.call("dead.list"), json)


@app.command()
def show(
    stream: Stream,
    number: Annotated[int, typer.Argument(min=1, help="The oldest is 1.")] = 1,
    payload: Annotated[bool, typer.Option("--payload", help="The event alone, as it came.")] = False,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """One letter: the event, what is wrong, how to see it again."""
    with control(open_project(program, env), bridge, token_file) as client:
        letter = record(stream, client.call("dead.show", stream, number))
    if payload:
        sys.stdout.buffer.write(bytes(letter.value or b"null") + b"\n")
    elif json:
        emit(letter.as_json())
    else:
        _tell(letter, number)


@app.command()
def replay(
    stream: Stream,
    numbers: Numbers = None,
    every: All = False,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Publish letters again as the events that they were.

    To the stream they came from; then they leave the dead letters. Exit code 1 when one was skipped.
    """
    project = open_project(program, env)
    with control(project, bridge, token_file) as client:
        chosen = _chosen(client, project, stream, numbers, every, "replay")
        replayed, kept, skipped = (
            client.call("dead.replay", stream, chosen, deadline=60.0) if chosen else ([], False, [])
        )
    dead = _dead_letters_of(project, stream)
    reasons = {f"{dead}/{partition}/{offset}": reason for partition, offset, reason in skipped}
    if json:
        emit(
            {
                "replayed": [f"{dead}/{partition}/{offset}" for partition, offset in replayed],
                "kept": kept,
                "skipped": reasons,
            }
        )
    else:
        say(f"replayed {count(len(replayed), 'event')} of {stream}")
    for letter, reason in reasons.items():
        note(f"skipped {letter}: {reason}")
    if kept and replayed:
        note(
            f"{stream} cannot delete single records: the letters are still there, and would be published again"
        )
    if reasons:
        raise typer.Exit(NOT_SO)


@app.command()
def drop(
    stream: Stream,
    numbers: Numbers = None,
    every: All = False,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Delete letters for good."""
    project = open_project(program, env)
    with control(project, bridge, token_file) as client:
        chosen = _chosen(client, project, stream, numbers, every, "drop")
        dropped = client.call("dead.drop", stream, chosen, deadline=60.0) if chosen else 0
    if json:
        emit({"dropped": dropped})
    else:
        say(f"dropped {count(dropped, 'event')} of {stream}")


def _chosen(
    client: ControlClient, project: Project, stream: str, numbers: list[int] | None, every: bool, verb: str
) -> list[list[int]]:
    """Partition and offset of the letters that are meant."""
    if bool(numbers) == every:
        raise UserError(f"dead {verb}: which ones? Write: ds-runner dead {verb} {stream} 1 2, or --all")
    if every:
        letters = read_in_order(client, _dead_letters_of(project, stream))
    else:
        letters = (record(stream, client.call("dead.show", stream, n)) for n in numbers or ())
    return [[letter.partition, letter.offset] for letter in letters]


def _dead_letters_of(project: Project, stream: str) -> str:
    """The stream of dead letters: an input's name stands for its own."""
    commands = project.program.commands
    return next((c.dead_letter for c in commands if c.input == stream and c.dead_letter), stream)


def _list_streams(found: list[list[Any]], json: bool) -> None:
    rows = [
        {
            "stream": stream,
            "input": given,
            "letters": n,
            "oldest": _when(oldest),
            "newest": _when(newest),
            "codes": _pairs(codes),
        }
        for stream, given, n, oldest, newest, codes in found
    ]
    if json:
        emit(rows)
        return
    if not rows:
        say("no stream of dead letters: no command of program.yaml scores a stream")
    for r in rows:
        codes = ", ".join(f"{code} {n:,}" for code, n in r["codes"].items())
        since = f", {r['oldest']} to {r['newest']}" if r["letters"] else ""
        say(
            f"{r['stream']}  {count(r['letters'], 'event')} of {r['input']}"
            + (f": {codes}{since}" if codes else "")
        )


def _list_letters(letters: list[Record], json: bool) -> None:
    if json:
        emit([{"number": n, **letter.as_json()} for n, letter in enumerate(letters, 1)])
        return
    for n, letter in enumerate(letters, 1):
        h = {name: text(v) or "" for name, v in letter.headers.items()}
        reason = h.get("ds-error-reason", "").partition("\n")[0]
        say(f"{n:>4}  {h.get('ds-source', letter.id)}  {h.get('ds-error-code', '')}: {reason}")


def _tell(letter: Record, number: int) -> None:
    h = {name: text(v) or "" for name, v in letter.headers.items()}
    say(f"{h.get('ds-source', letter.id)}  {h.get('ds-error-code', '')}: {h.get('ds-error-reason', '')}")
    facts = ("ds-attempts", "attempts"), ("ds-model", "model"), ("ds-time", "at")
    say(
        "  "
        + ", ".join(
            [f"{name} {h[header]}" for header, name in facts if header in h]
            + [f"key {text(letter.key)}" if letter.key else "no key"]
        )
    )
    say(f"  {text(letter.value)}")
    detail = value(letter.headers.get("ds-error-detail"))
    for line in _detailed(detail):
        say(f"  {line}")
    say(f"See it again: ds-runner dead show {letter.stream} {number} --payload | ds-runner predict -")


def _detailed(detail: Any) -> list[str]:
    """Problems of single fields a line each; of an exception the traceback from the user's frame."""
    if isinstance(detail, list):
        return [jsonlib.dumps(problem, ensure_ascii=False) for problem in detail]
    if isinstance(detail, dict) and "traceback" in detail:
        return str(detail["traceback"]).rstrip().splitlines()
    return [] if detail is None else [jsonlib.dumps(detail, ensure_ascii=False)]


def _pairs(flat: list[Any]) -> dict[str, int]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _when(nanoseconds: int) -> str:
    if not nanoseconds:
        return ""
    return datetime.datetime.fromtimestamp(nanoseconds / 1e9, datetime.UTC).isoformat(timespec="seconds")
