"""One recorded batch, to be looked at in this process: its events as they came, and `ctx` answered as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrunner import protocol
from pyrunner.client import CallError
from pyrunner.data import Access
from pyrunner.errors import UserError
from pyrunner.meta import Meta
from pyrunner.protocol import DecodeError, Lease, codec
from pyrunner.tape import frames
from pyrunner.tape.frames import Call, Torn

_FAILED, _UNKEPT = 1, 2


@dataclass(frozen=True)
class Moment:
    """The last delivery of an event, with those beside it."""

    payloads: list[bytes | None]
    meta: Meta
    calls: Sequence[Call]
    row: int  # of the event that was asked for

    def access(self) -> Access:
        """What `ctx` reaches: the recorded answers, and nothing else."""
        return Access(Recorded(self.calls))


def moment_of(tape: Path, event: str) -> Moment:
    """The batch in which an event came last. Raises UserError when it is not on the tape."""
    found: Moment | None = None
    try:
        for frame in frames.frames(tape):
            if isinstance(frame, frames.Batch):
                found = _moment(frame, event) or found
    except (Torn, DecodeError):
        pass  # what stands before it is good
    if found is None:
        raise UserError(f"replay: {event} is not on {tape}")
    return found


def _moment(frame: frames.Batch, event: str) -> Moment | None:
    batch = protocol.decode(frame.batch)
    assert isinstance(batch, protocol.Batch)
    headers = None if batch.headers is None else [pairs or [] for pairs in batch.headers]
    meta = Meta(batch.stream, batch.positions, batch.keys, headers, batch.timestamps, batch.lease)
    ids = meta.ids(len(batch.payloads))
    return Moment(batch.payloads, meta, frame.calls, ids.index(event)) if event in ids else None


class Recorded:
    """Calls that were answered once before, found by method and arguments in their order. The last answer to a call is given again and
    again, so that a method may be called twice."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._answers: dict[tuple[str, bytes], list[Call]] = {}
        for call in calls:
            self._answers.setdefault((call.method, call.args), []).append(call)

    def begin(self, method: str, *args: Any, lease: Lease | None = None, deadline: float = 5.0) -> _Done:
        known = self._answers.get((method, bytes(codec.encode_value(list(args)))))
        if known is None:
            raise CallError(
                "not_recorded", f"the recording has no such call in this batch: {method} {list(args)}", False
            )
        return _Done(known.pop(0) if len(known) > 1 else known[0])


class _Done:
    """A call that was answered when it was recorded."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def wait(self) -> Any:
        if self._call.state == _UNKEPT:
            raise CallError("not_recorded", "the tape was recorded without the answers of calls", False)
        value = codec.decode_value(self._call.value)
        if self._call.state == _FAILED:
            raise CallError(*value)
        return value
