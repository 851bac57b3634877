"""What is on a tape: who scored under what, and the answer to each event that counts.

An event that came more than once is known by its last answer: the earlier ones were failures that were tried again. Answers that ask for
the event again are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyrunner import protocol
from pyrunner.errors import UserError
from pyrunner.meta import Meta
from pyrunner.protocol import DecodeError, Kind, Result
from pyrunner.replay.ledger import Fate
from pyrunner.tape import frames
from pyrunner.tape.environment import Environment, environment_in
from pyrunner.tape.frames import Batch, End, Fates, Gap, Recording, Torn, Worker

_DEAD = 2


@dataclass
class Contents:
    """A tape, read. `fates` are by event id, in the order of their answers."""

    recording: Recording
    workers: dict[int, Worker] = field(default_factory=dict)
    environments: dict[int, Environment] = field(default_factory=dict)  # by worker
    fates: dict[str, Fate] = field(default_factory=dict)
    batches: int = 0
    calls: int = 0
    dropped: int = 0  # events in gaps
    torn: str = ""
    ended: bool = False

    @property
    def model(self) -> str:
        """The version that scored first."""
        return next((w.model for w in self.workers.values()), "")

    @property
    def environment(self) -> Environment:
        """Of the first worker."""
        return next(iter(self.environments.values()), Environment())


def read(path: Path) -> Contents:
    """Read a tape as far as it goes. Raises UserError for a file that is no tape."""
    reader = _Reader(path)
    try:
        for frame in frames.frames(path):
            reader.take(frame)
    except Torn as torn:
        reader.end_with(str(torn))
    return reader.contents()


class _Reader:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._contents: Contents | None = None
        self._lost: dict[str, int] = {}  # single events whose worker never answered -> the worker
        self._torn = ""

    def end_with(self, torn: str) -> None:
        self._torn = torn

    def contents(self) -> Contents:
        if self._contents is None:
            raise UserError(f"{self._path}: {self._torn or 'nothing was recorded'}")
        self._contents.torn = self._torn
        return self._contents

    def take(self, frame: frames.Frame) -> None:
        if isinstance(frame, Recording):
            self._contents = Contents(frame)
        elif (tape := self._contents) is None:
            raise Torn(len(frames.NAME) + 1, "the first frame is not that of a recording")
        elif isinstance(frame, Worker):
            tape.workers[frame.number] = frame
            tape.environments[frame.number] = environment_in(frame.describe)
        elif isinstance(frame, Batch):
            tape.batches += 1
            tape.calls += len(frame.calls)
            self._answers(tape, frame)
        elif isinstance(frame, Fates):
            self._deaths(tape, frame)
        elif isinstance(frame, Gap):
            tape.dropped += frame.events
        elif isinstance(frame, End):
            tape.ended = True

    def _answers(self, tape: Contents, frame: Batch) -> None:
        batch, answers = _decoded(frame)
        ids = Meta(batch.stream, batch.positions).ids(len(batch.payloads))
        results = [a for a in answers if isinstance(a, Result)]
        if len(results) < len(answers) or sum(r.count for r in results) < len(ids):
            if len(ids) == 1 and not answers:
                self._lost[ids[0]] = frame.worker
            return
        for result in results:
            for index, kind, value in fates_of(result):
                if kind:
                    tape.fates.pop(ids[index], None)  # so that it stands where its last answer came
                    tape.fates[ids[index]] = self._fate(tape, ids[index], kind, value, frame.worker)

    def _deaths(self, tape: Contents, frame: Fates) -> None:
        """Events that killed every worker have no answer; their fate says it."""
        for run in frame.runs:
            event = f"{tape.recording.stream}/{run.partition}/{run.first}"
            if run.kind == _DEAD and (worker := self._lost.get(event)) is not None:
                value = {"code": run.code, "reason": run.reason, "attempts": run.attempts}
                tape.fates[event] = self._fate(tape, event, "dead", value, worker)

    @staticmethod
    def _fate(tape: Contents, event: str, kind: str, value: Any, worker: int) -> Fate:
        who = tape.workers.get(worker)
        where = tape.environments.get(worker, Environment())
        return Fate(event, kind, value, who.model if who else "", where.code)


def _decoded(frame: Batch) -> tuple[protocol.Batch, list[Any]]:
    try:
        batch = protocol.decode(frame.batch)
        answers = [protocol.decode(a) for a in frame.answers]
    except DecodeError as error:
        raise Torn(0, f"a batch on it is damaged: {error}") from None
    if not isinstance(batch, protocol.Batch):
        raise Torn(0, "a batch on it is none")
    return batch, answers


def fates_of(result: Result) -> Iterator[tuple[int, str, Any]]:
    """Index, kind and value of each event that a result answers, as a ledger has them; no kind for one that is to come again."""
    outputs = result.outputs.split(b"\n")[:-1] if isinstance(result.outputs, bytes) else result.outputs
    errors = {error.index: error for error in result.errors}
    at = 0
    for position in range(result.count):
        index = result.first + position
        error = errors.get(index)
        n = result.counts[position] if result.counts is not None else int(error is None)
        if error is None:
            yield index, "outputs", [_value(o) for o in outputs[at : at + n]]
        else:
            yield index, _KINDS.get(Kind(error.kind), ""), _error(error)
        at += n


_KINDS = {Kind.REJECT: "rejected", Kind.FAIL: "dead"}


def _error(error: protocol.RowFailure) -> dict[str, Any]:
    value: dict[str, Any] = {"code": error.code, "reason": error.reason}
    if error.detail is not None:
        value["detail"] = _value(error.detail)
    return value


def _value(data: bytes) -> Any:
    """JSON as what it says, and anything else as a text."""
    try:
        return json.loads(data)
    except ValueError:
        return data.decode(errors="replace")
