"""`ds-runner record`: live traffic of a command onto a tape, which `ds-runner replay` runs again."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pyrunner.bridge import Unavailable
from pyrunner.client import CallError
from pyrunner.commands.console import count, emit, note, progress, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.publish import require_stream
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import open_project
from pyrunner.tape.recorder import Count, Recorder, create

Output = Annotated[
    Path, typer.Option("--output", metavar="FILE", help="The tape: a new file, for your eyes only.")
]
Events = Annotated[
    int | None, typer.Option("--events", "-n", min=1, help="Stop with the batch in which there are so many.")
]
For = Annotated[str | None, typer.Option("--for", metavar="30s|10m|1h", help="Stop after this time.")]
Command = Annotated[
    str, typer.Option("--command", metavar="NAME", help="Which one, where several commands read the stream.")
]
Lookups = Annotated[
    bool,
    typer.Option(
        "--lookups/--no-lookups", help="Keep what ctx was answered. Without it a diff cannot be trusted."
    ),
]


def record(
    stream: Annotated[str, typer.Argument(help="A stream of program.yaml that a command reads.")],
    output: Output,
    events: Events = None,
    duration: For = None,
    command: Command = "",
    lookups: Lookups = True,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Keep live traffic on a tape, to be replayed.

    Until Ctrl-C, or -n, or --for. A tape holds the events themselves, with keys and headers, and what ctx was answered: it is as secret as they
    are. Nothing waits for it: what cannot be kept in time is dropped, batch by batch, and counted.
    """
    project = open_project(program, env)
    require_stream(project, stream)
    seconds = None if duration is None else parse(duration)
    with control(project, bridge, token_file) as client, create(output) as file:
        try:
            recorder = Recorder(client, stream, command, lookups=lookups)
        except BaseException:
            output.unlink(missing_ok=True)
            raise
        with _asked() as asked, progress() as bar:
            task = bar.add_task(f"recording {stream}", total=events)
            until = None if seconds is None else time.monotonic() + seconds

            def enough(so_far: Count) -> bool:
                bar.update(task, completed=so_far.events)
                return bool(asked()) or _reached(so_far.events, events) or _reached(time.monotonic(), until)

            try:
                found = recorder.run(file, enough)
            except CallError as error:
                raise Unavailable(
                    f"record: the bridge went away ({error.reason}). {output} holds {count(recorder.count.events, 'event')}, "
                    "and can be replayed so far"
                ) from error
    _tell(output, recorder.command, found, json)


def _reached(value: float, limit: float | None) -> bool:
    return limit is not None and value >= limit


def _tell(output: Path, command: str, found: Count, json: bool) -> None:
    if json:
        emit({"tape": str(output), "command": command, "bytes": output.stat().st_size, **found._asdict()})
    else:
        size = output.stat().st_size / 1e6
        say(
            f"recorded {count(found.events, 'event')} of {command} in {_batches(found.batches)}, "
            f"{found.fates:,} with their fates, in {output} ({size:.1f} MB)"
        )
    if found.dropped_batches:
        note(
            f"dropped {count(found.dropped_events, 'event')} in {_batches(found.dropped_batches)}: "
            "they came faster than they could be kept"
        )


def _batches(n: int) -> str:
    return f"{n:,} batch" if n == 1 else f"{n:,} batches"


_DURATION = re.compile(r"(?=.)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?")


def parse(text: str) -> float:
    """`1h30m` or `30s` as seconds."""
    found = _DURATION.fullmatch(text)
    seconds = (
        0.0
        if found is None
        else sum(float(n or 0) * unit for n, unit in zip(found.groups(), (3600, 60, 1), strict=True))
    )
    if seconds <= 0:
        raise UserError(f"record: --for {text}: write a time like 30s, 10m or 1h30m")
    return seconds


@contextmanager
def _asked() -> Iterator[Callable[[], int]]:
    """Within, the first Ctrl-C or SIGTERM asks for an orderly end, the second interrupts. Yields how many there were."""
    seen: list[int] = []

    def take(number: int, frame: object) -> None:
        seen.append(number)
        if len(seen) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: len(seen)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
