"""One event in this process, with a debugger: `ds-runner replay --only departures/0/17 --pdb`.

The event is read from a file by its number, or from its stream by the bridge that runs, decoded as in a stream and given alone
to the same method of the model. One of a tape is given with its whole batch, for which the answers to `ctx` were recorded. If that raises, the debugger opens at the user's own frame, after the fact; if it answers,
the debugger stops where the method begins, so that the way to the answer can be walked.
"""

from __future__ import annotations

import gzip
import pdb
import re
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import msgspec

from pyrunner import containers
from pyrunner.client.control import ControlClient
from pyrunner.client.records import one
from pyrunner.containers.base import TypedBatch
from pyrunner.context import Context
from pyrunner.datasets import batches, format_of, rows_as_json
from pyrunner.errors import UserError
from pyrunner.meta import Meta
from pyrunner.project import Project
from pyrunner.scoring import Scorer
from pyrunner.scoring.failures import user_frames
from pyrunner.signature import read_signature
from pyrunner.tape.moment import Moment
from pyrunner.userframes import told


class EventId(NamedTuple):
    """`stream/partition/offset`. In a file the partition is 0 and the offset the record's number, from 0."""

    stream: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return "/".join(map(str, self))

    @classmethod
    def parse(cls, text: str) -> EventId:
        found = re.fullmatch(r"(.+)/(\d+)/(\d+)", text)
        if not found:
            raise UserError(
                f"replay: --only {text}: an event's id is stream/partition/offset, such as departures/0/17"
            )
        return cls(found[1], int(found[2]), int(found[3]))


def debug(scorer: Scorer, event: EventId, payload: bytes) -> None:
    """Open the debugger on one event. Returns when the user leaves it."""
    _tell(f"{event}: {payload.decode(errors='replace')}")
    meta = Meta(event.stream, [event.partition, event.offset, 1])
    _debug(scorer, [payload], meta)


def debug_moment(scorer: Scorer, event: EventId, moment: Moment) -> None:
    """The same for an event of a tape, in its batch. A method for one event is given that one."""
    payload = moment.payloads[moment.row]
    n = len(moment.payloads)
    _tell(f"{event}, {moment.row + 1} of {n} in its batch: {(payload or b'null').decode(errors='replace')}")
    if scorer.signature.container == "one":
        _debug(scorer, [payload or b"null"], moment.meta.take([moment.row]))
    else:
        _debug(scorer, [p or b"null" for p in moment.payloads], moment.meta)


def _debug(scorer: Scorer, payloads: Sequence[bytes], meta: Meta) -> None:
    call = prepared(scorer, payloads, meta)
    try:
        answer = call()
    except Exception as e:
        _tell(told(e))
        pdb.post_mortem(users_part(e.__traceback__))
        return
    _tell(f"answer: {_shortened(repr(answer))}. Stepping through it; c to leave.")
    again = prepared(scorer, payloads, meta)
    pdb.runcall(again.func, *again.args, **again.keywords)


def from_file(project: Project, file: Path, event: EventId) -> bytes:
    """The payload of one record of a file, as the bridge would send it."""
    found = next(islice(_records(project, file), event.offset, None), None)
    if found is None or event.partition:
        raise UserError(f"replay: {file} has no record {event}. The first is {event.stream}/0/0")
    return found


def from_bridge(client: ControlClient, event: EventId) -> bytes:
    """The payload of an event that its stream still keeps."""
    found = one(client, *event)
    if found is None:
        raise UserError(
            f"replay: {event} is not kept any more. Give the file that it came from: ds-runner replay FILE --only ..."
        )
    return bytes(found.value or b"null")


def prepared(scorer: Scorer, payloads: Sequence[bytes], meta: Meta) -> partial[Any]:
    """The call of the model's method for some events, one where it takes one, as a function without arguments.

    Of several, those that are no events are left out, as they are behind a stream.
    """
    signature = scorer.signature
    method = getattr(scorer.model, signature.verb)
    rows, events = _decoded(scorer, payloads)
    if len(rows) < len(payloads):
        meta = meta.take(rows)
    given: Any = events[0]
    if signature.container != "one":
        given = containers.load(signature).build(TypedBatch(signature.input_schema, events, meta))
    ctx = {}
    if "ctx" in signature.arguments:
        ctx["ctx"] = Context(
            len(events), seed=scorer.model.seed, meta=meta, access=scorer.access, predicts=True
        )
    return partial(method, given, **ctx)


def _decoded(scorer: Scorer, payloads: Sequence[bytes]) -> tuple[list[int], list[Any]]:
    """The rows that are events, and the events. None at all is the user's to see."""
    rows: list[int] = []
    events: list[Any] = []
    for row, payload in enumerate(payloads):
        try:
            events.append(msgspec.json.decode(payload, type=scorer.signature.input))
            rows.append(row)
        except msgspec.DecodeError:
            continue
    if not events:
        error = scorer.score([payloads[0]]).errors[0]
        raise UserError(f"replay: the event never reaches the model. {error.reason}")
    return rows, events


def users_part(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the first to the last frame of the user's own: where a debugger is to open."""
    whole = list(_parts(tb))
    users = {id(frame) for frame, _ in user_frames(tb)}
    places = [i for i, part in enumerate(whole) if id(part.tb_frame) in users]
    if not places:
        return tb
    cut: TracebackType | None = None
    for part in reversed(whole[places[0] : places[-1] + 1]):
        cut = TracebackType(cut, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return cut


def _parts(tb: TracebackType | None) -> Iterator[TracebackType]:
    while tb is not None:
        yield tb
        tb = tb.tb_next


def _records(project: Project, file: Path) -> Iterator[bytes]:
    if format_of(file) == ".jsonl":
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as f:
            yield from (line.rstrip(b"\r\n") for line in f)
        return
    schema = read_signature(project.model_class()).input_schema
    for batch in batches(file, [schema], 4096):
        yield from rows_as_json(batch, schema)


def _shortened(text: str, most: int = 2000) -> str:
    return text if len(text) <= most else f"{text[:most]}..."


def _tell(line: str) -> None:
    """For the person at the debugger; standard output is the answer's."""
    print(line, file=sys.stderr)
