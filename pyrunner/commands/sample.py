"""`ds-runner sample`: some events of a stream as a file that `replay` and `predict` read."""

from __future__ import annotations

import json as jsonlib
import random
from collections.abc import Iterable
from typing import Annotated

import typer

from pyrunner.client import records
from pyrunner.client.control import ControlClient
from pyrunner.commands.console import count, note, progress, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.publish import require_stream
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import open_project

WAIT_MS = 1000  # how long one call waits for events to come
SEED = 0  # so that the same stream gives the same sample

Events = Annotated[int, typer.Option("--events", "-n", min=1, help="How many.")]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="start|now|all",
        help="The oldest, those that come from now on, or some of all that is kept. Default: the newest.",
    ),
]


def sample(
    stream: Annotated[
        str, typer.Argument(help="A stream of program.yaml, dead letters too: departures.dead.")
    ],
    events: Events = 1000,
    start: From = None,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Print some events of a stream, one JSON line each.

    `ds-runner sample departures -n 1000 > sample.jsonl` is a file for `replay`. `--json` adds id, time, key and headers.
    """
    project = open_project(program, env)
    require_stream(project, stream)
    if start not in (None, "start", "now", "all"):
        raise UserError(f"sample: --from {start}: write start, now or all")
    with control(project, bridge, token_file) as client:
        found = _chosen(client, stream, events, start)
    for r in found:
        say(jsonlib.dumps(r.as_json(), ensure_ascii=False) if json else line(r.value))
    if len(found) < events:
        note(f"{stream} holds {count(len(found), 'event')}, {events:,} were asked for")


def _chosen(client: ControlClient, stream: str, events: int, start: str | None) -> list[records.Record]:
    if start is None:
        return records.newest(client, stream, events)[0]
    if start == "now":
        return _coming(client, stream, events)
    kept = records.read_all(client, stream)
    if start == "start":
        return [r for r, _ in zip(kept, range(events), strict=False)]
    with progress() as bar:
        task = bar.add_task(f"reading {stream}", total=None)
        return spread(bar.track(kept, task_id=task), events)


def _coming(client: ControlClient, stream: str, events: int) -> list[records.Record]:
    """Waits for them, up to Ctrl-C, which prints nothing."""
    found: list[records.Record] = []
    cursor = records.end_of(client, stream)
    with progress() as bar:
        task = bar.add_task(f"waiting for events of {stream}", total=events)
        while len(found) < events:
            some, cursor = records.read(
                client, stream, cursor, min(events - len(found), records.PAGE), WAIT_MS
            )
            found += some
            bar.update(task, completed=len(found))
    return found


def spread(found: Iterable[records.Record], count: int) -> list[records.Record]:
    """`count` of them, each as likely as any other, in their order (Vitter's algorithm R: memory for `count` alone)."""
    chosen: list[tuple[int, records.Record]] = []
    pick = random.Random(SEED)
    for n, r in enumerate(found):
        if n < count:
            chosen.append((n, r))
        elif (place := pick.randrange(n + 1)) < count:
            chosen[place] = (n, r)
    return [r for _, r in sorted(chosen, key=lambda numbered: numbered[0])]


def line(value: bytes | None) -> str:
    """A value on one line, as it is where it is on one already. A value that is no JSON stays broken."""
    text = records.text(value)
    if text is None:
        return "null"
    if "\n" not in text and "\r" not in text:
        return text
    try:
        return jsonlib.dumps(jsonlib.loads(text), ensure_ascii=False, separators=(",", ":"))
    except ValueError:
        return text.replace("\r", "\\r").replace("\n", "\\n")
