"""An event of a tape in this process: in its batch, with the recorded answers to ctx, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from pyrunner import Context, Event, Key, Model
from pyrunner.client import CallError
from pyrunner.data import DataError
from pyrunner.errors import UserError
from pyrunner.protocol import codec
from pyrunner.protocol.frames import MAX_FRAME, Batch
from pyrunner.replay.inprocess import prepared
from pyrunner.scoring import Scorer
from pyrunner.tape import frames
from pyrunner.tape.moment import Recorded, moment_of

from .tapes import LEASE, batch, worker, write


class Departure(Event):
    id: Annotated[str, Key()]


class Estimate(Event):
    minutes: float


class Looking(Model[Departure, Estimate]):
    def predict(self, events: list[Departure], *, ctx: Context) -> list[Estimate]:
        found = ctx.kv("rates").get_many([e.id for e in events])
        return [Estimate(minutes=float(v or 0) + ctx.now().timestamp()) for v in found]


def call(method: str, *args: object, state: int = 0, answer: object = None) -> frames.Call:
    return frames.Call(method, bytes(codec.encode_value(list(args))), state, msgspec.msgpack.encode(answer))


def tape_of(path: Path, *calls: frames.Call) -> Path:
    """Three events, the second of which is none."""
    payloads: list[bytes | None] = [b'{"id":"a"}', b"{", b'{"id":"b"}']
    sent = Batch(*LEASE, 1, 5000, "departures", [0, 10, 3], payloads, [None] * 3, [None] * 3, [0] * 3)
    recorded = batch(10, [b"1", b"1", b"1"], calls=calls)
    recorded.batch = bytes(codec.encode(sent, MAX_FRAME)[4:])
    return write(path, worker(), recorded)


def test_the_whole_batch_is_given_with_its_recorded_answers_as_often_as_wanted(tmp_path: Path) -> None:
    tape = tape_of(
        tmp_path / "a.tape",
        call("kv.get", "rates", ["a", "b"], answer=[b"1.5", None]),
        call("clock", answer=2_000_000_000),
    )
    moment = moment_of(tape, "departures/0/12")
    assert (moment.row, len(moment.payloads)) == (2, 3)
    scorer = Scorer(Looking(), access=moment.access())
    for _ in range(2):
        answer = prepared(scorer, [p or b"null" for p in moment.payloads], moment.meta)()
        assert [e.minutes for e in answer] == [3.5, 2.0]


def test_what_was_not_recorded_is_refused(tmp_path: Path) -> None:
    moment = moment_of(
        tape_of(tmp_path / "a.tape", call("kv.get", "rates", ["a"], answer=[b"1"])), "departures/0/10"
    )
    scorer = Scorer(Looking(), access=moment.access())
    with pytest.raises(DataError, match=r"the recording has no such call in this batch: kv\.get"):
        prepared(scorer, [b'{"id":"z"}'], moment.meta.take([0]))()
    reach = Recorded([call("a", 1, state=1, answer=["bad_sql", "no", False]), call("b", state=2)])
    with pytest.raises(CallError, match="bad_sql: no"):
        reach.begin("a", 1).wait()
    with pytest.raises(CallError, match="without the answers of calls"):
        reach.begin("b").wait()


def test_answers_to_the_same_call_come_in_their_order() -> None:
    reach = Recorded([call("a", answer=1), call("a", answer=2)])
    assert [reach.begin("a").wait() for _ in range(3)] == [1, 2, 2]


def test_an_event_that_is_not_there_is_told(tmp_path: Path) -> None:
    tape = tape_of(tmp_path / "a.tape")
    with pytest.raises(UserError, match="departures/0/99 is not on"):
        moment_of(tape, "departures/0/99")
