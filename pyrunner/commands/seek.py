"""`ds-runner seek`: move a command to another place of the stream that it reads."""

from __future__ import annotations

import datetime
import re
import time
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from pyrunner.commands.console import count, emit, note, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.publish import require_stream
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import open_project

SECONDS = 60.0  # to end what is at work, and to look for a time in a long stream

To = Annotated[
    str,
    typer.Option(
        "--to",
        metavar="start|end|TIME|-1h|OFFSET|PARTITION:OFFSET",
        help="Where to read next. TIME as in 2026-11-20T10:00:00Z.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would mean, and change nothing.")]
Command = Annotated[
    str,
    typer.Option("--command", metavar="NAME", help="Which one, where several commands read the stream."),
]


def seek(
    stream: Annotated[str, typer.Argument(help="A stream of program.yaml that a command reads.")],
    to: To,
    command: Command = "",
    dry_run: DryRun = False,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Read a stream again from a place, or skip to one.

    The command is paused for that and goes on there. Outputs of events that are read again are written again: they are
    no duplicates to the broker.
    """
    project = open_project(program, env)
    require_stream(project, stream)
    target = parse(to, time.time_ns())
    with control(project, bridge, token_file) as client:
        moved, paused, moves = client.call("seek", stream, command, target, dry_run, deadline=SECONDS)
    found = [Move(*m) for m in moves]
    if json:
        emit({"command": moved, "paused": paused, "dry_run": dry_run, "moves": [vars(m) for m in found]})
        return
    _tell(moved, stream, found, dry_run)
    if paused:
        note(f"{moved} is paused, as it was before. Go on with: ds-runner resume {moved}")


@dataclass
class Move:
    """What a seek means for one partition. Offsets are of the next event to be read; `before` is -1 where there was none."""

    partition: int
    before: int
    after: int
    end: int

    @property
    def again(self) -> int:
        return max(0, self.before - self.after)

    @property
    def skipped(self) -> int:
        return max(0, self.after - self.before) if self.before >= 0 else 0

    def told(self) -> str:
        """In words. Offsets may have gaps, so that counts are the most that it can be."""
        if self.before < 0:
            return f"begins at {self.after:,} of {self.end:,}"
        if self.before == self.after:
            return f"stays at {self.after:,} of {self.end:,}"
        what = (
            f"{count(self.again, 'event')} again" if self.again else f"{count(self.skipped, 'event')} skipped"
        )
        return f"{self.before:,} -> {self.after:,} of {self.end:,}, {what}"


_OFFSET = re.compile(r"(?:(\d+):)?(\d+)")
_AGO = re.compile(r"-(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def parse(text: str, now: int) -> list[Any]:
    """`--to` as the control method's target (bridge_go/control/METHODS.md). `now` is in nanoseconds."""
    if text in ("start", "end"):
        return ["oldest" if text == "start" else "newest"]
    if offset := _OFFSET.fullmatch(text):
        return ["offset", int(offset[2]), -1 if offset[1] is None else int(offset[1])]
    if ago := _AGO.fullmatch(text):
        days, hours, minutes, seconds = (int(part or 0) for part in ago.groups())
        return ["time", now - (((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 10**9]
    return ["time", _instant(text, now)]


def _instant(text: str, now: int) -> int:
    try:
        when = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"seek: --to {text}: write start, end, a time like 2026-11-20T10:00:00Z or -1h30m, an offset like 1000, "
            "or one of a partition like 3:1000"
        ) from None
    if when.tzinfo is None:
        whole = when.isoformat()
        raise UserError(f"seek: --to {text}: of which time zone? Write {whole}Z for UTC, or {whole}+01:00")
    instant = int(when.timestamp() * 10**6) * 1000
    if instant > now:
        raise UserError(f"seek: --to {text}: that is in the future. To skip all that is there: --to end")
    return max(0, instant)


def _tell(command: str, stream: str, moves: list[Move], dry_run: bool) -> None:
    say(f"{command} {'would read' if dry_run else 'reads'} {stream} on from here:")
    for m in moves:
        say(f"  partition {m.partition}: {m.told()}")
    again, skipped = sum(m.again for m in moves), sum(m.skipped for m in moves)
    parts = [f"{count(again, 'event')} again"] if again else []
    parts += [f"{count(skipped, 'event')} skipped"] if skipped else []
    if len(moves) > 1 and parts:
        say(f"  in all {', '.join(parts)}")
    if dry_run:
        say("a dry run: nothing was changed")
