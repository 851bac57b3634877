"""`ds-runner publish`: events of a file into a stream of the running bridge."""

import gzip
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from pyrunner.commands.console import count, emit, note, progress, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project

MOST_EVENTS = 500  # in one call; small enough that a rate is kept evenly
MOST_BYTES = 1 << 20
LONGEST = 4 << 20  # bytes of one event: with its key, which may be as long, well within a frame
CALLS_PER_SECOND = 20  # with --rate

Row = tuple[bytes, bytes | None]  # value and key

Rate = Annotated[
    float | None, typer.Option("--rate", min=0.001, help="Events per second. Default: as fast as it goes.")
]
KeyField = Annotated[
    str | None, typer.Option("--key", help="The field that is the key. Default: the class's Key().")
]


def publish(
    stream: Annotated[str, typer.Argument(help="A stream of program.yaml.")],
    file: Annotated[
        str, typer.Argument(help="jsonl, jsonl.gz, csv or parquet; - reads JSON lines from standard input.")
    ],
    rate: Rate = None,
    key: KeyField = None,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Publish the events of a file.

    In their order, to the bridge that runs for this project. Returns when the broker has stored them all.
    """
    project = open_project(program, env)
    require_stream(project, stream)
    key = key or _declared_key(project, stream)
    began, done = time.monotonic(), 0
    with control(project, bridge, token_file) as client, progress() as bar:
        task = bar.add_task(f"publishing to {stream}", total=None)
        for chunk in _chunks(_rows(project, file, key), rate):
            _hold(began, done, rate)
            client.call("publish", stream, chunk, deadline=30.0)
            done += len(chunk)
            bar.advance(task, len(chunk))
    seconds = time.monotonic() - began
    if json:
        emit({"stream": stream, "events": done, "seconds": round(seconds, 3)})
    else:
        say(f"published {count(done, 'event')} to {stream} in {seconds:.1f} s")


def require_stream(project: Project, name: str) -> None:
    """Refuse a stream that program.yaml does not have, with the nearest name."""
    from pyrunner.program.words import unknown

    streams = project.program.spec.streams
    dead = [s.dead_letter for s in streams.values() if s.dead_letter]
    if name not in streams and name not in dead and not name.endswith(".dead"):
        raise UserError(unknown("no stream", name, streams))


def _declared_key(project: Project, stream: str) -> str | None:
    """The field that the model's input class marks as its key, if this is the stream that the model reads."""
    from pyrunner.schema import schema_of
    from pyrunner.signature import event_classes

    if stream not in [c.input for c in project.program.commands]:
        return None
    try:
        return schema_of(event_classes(project.model_class())[0]).key
    except UserError as e:
        note(f"no keys: {e}")  # events can be published before the model file is right
        return None


def _rows(project: Project, file: str, key: str | None) -> Iterator[Row]:
    keyed = _keyed(key)
    if file == "-":
        yield from _lines(sys.stdin.buffer, keyed, "standard input")
    elif Path(file).suffix in (".parquet", ".csv"):
        yield from _table_rows(project, Path(file), keyed)
    else:
        with _opened(Path(file)) as f:
            yield from _lines(f, keyed, file)


def _opened(path: Path) -> BinaryIO:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")  # type: ignore[return-value]
    except OSError as e:
        raise UserError(f"publish: {path}: {e.strerror}") from None


def _lines(source: BinaryIO, keyed: Callable[[bytes], bytes | None], name: str) -> Iterator[Row]:
    for number, line in enumerate(source, 1):
        value = line.strip()
        if len(value) > LONGEST:
            raise UserError(
                f"an event of {len(value):,} bytes, at most {LONGEST:,} go", place=f"{name}:{number}"
            )
        if value:
            yield value, keyed(value)


def _table_rows(project: Project, path: Path, keyed: Callable[[bytes], bytes | None]) -> Iterator[Row]:
    from pyrunner.datasets import batches, rows_as_json
    from pyrunner.schema import schema_of
    from pyrunner.signature import event_classes

    schema = schema_of(event_classes(project.model_class())[0])
    for batch in batches(path, [schema], 4096):
        for value in rows_as_json(batch, schema):
            yield value, keyed(value)


def _keyed(field: str | None) -> Callable[[bytes], bytes | None]:
    """A function from a payload to its key. A payload that is no JSON object has none: the model's side tells of it."""
    if field is None:
        return lambda value: None
    only = msgspec.defstruct("Keyed", [("key", msgspec.Raw, msgspec.Raw(b"null"))], rename={"key": field})
    decode = msgspec.json.Decoder(only).decode

    def key_of(value: bytes) -> bytes | None:
        try:
            raw = bytes(decode(value).key)  # type: ignore[attr-defined]
        except msgspec.DecodeError:
            return None
        return None if raw == b"null" else _text(raw)

    return key_of


def _text(raw: bytes) -> bytes:
    """A string without its quotes, everything else as it is written."""
    return str(msgspec.json.decode(raw)).encode() if raw.startswith(b'"') else raw


def _chunks(rows: Iterator[Row], rate: float | None) -> Iterator[list[list[bytes | None]]]:
    most = MOST_EVENTS if rate is None else max(1, min(MOST_EVENTS, int(rate / CALLS_PER_SECOND)))
    while taken := list(islice(rows, most)):
        chunk: list[list[bytes | None]] = []
        size = 0
        for value, key in taken:
            if chunk and size + len(value) > MOST_BYTES:
                yield chunk
                chunk, size = [], 0
            chunk.append([value, key])
            size += len(value)
        yield chunk


def _hold(began: float, done: int, rate: float | None) -> None:
    """Wait until so many events are due."""
    if rate:
        time.sleep(max(0.0, began + done / rate - time.monotonic()))
