"""Scores events the way a worker does, without sockets: encode, decode, score, encode, decode."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from pyrunner.client.pending import Pending
from pyrunner.protocol import Answer as Answering
from pyrunner.protocol import Answers, Batch, Call, Lease, Result, codec
from pyrunner.protocol.frames import MAX_FRAME
from pyrunner.protocol.preface import MINOR
from pyrunner.protocol.results import encode_result, failure
from pyrunner.testing.fake_bridge import Answered, read_result
from pyrunner.testing.fake_data import FakeData, Refused


class Answer(Answered):
    """What became of one event. `output` is the only output, parsed; None when there is none or more than one."""

    @property
    def parsed(self) -> list[Any]:
        return [json.loads(output) for output in self.outputs]

    @property
    def output(self) -> Any:
        return self.parsed[0] if len(self.outputs) == 1 else None

    @property
    def code(self) -> str | None:
        """The code of the error, None when there is none."""
        return None if self.error is None else self.error[1]


def run_model(
    model: Any,
    events: Iterable[Any],
    *,
    batch: int = 256,
    stream: str = "events",
    sql: Any = None,
    kv: Any = None,
    objects: Any = None,
    now: datetime.datetime | None = None,
    data: FakeData | None = None,
) -> list[Answer]:
    """The fate of each event, in order.

    `events` are dicts, events of the model's class, or raw payloads (bytes; None is a null value). All go through the real
    codec in batches of `batch`, so what the model sees and answers is what it would see and answer behind a bridge.

    `sql`, `kv` and `objects` are what `ctx` finds: rows by the text of the query (or a function of text and params), and keys and
    objects by the name of their connection; `now` is the time that it tells. Or give a `FakeData`, which also tells what was published and called.
    A batch that goes back, because `ctx` could not be answered, raises Surroundings.
    """
    from pyrunner.data import Access
    from pyrunner.scoring import Scorer

    data = data or FakeData(sql=sql, kv=kv, objects=objects, now=now)
    scorer = Scorer(model, access=Access(InProcess(data)))
    bridge = _bridge_side(scorer)
    payloads = [
        event if event is None or isinstance(event, bytes) else msgspec.json.encode(event) for event in events
    ]
    answers: list[Answer] = []
    for first in range(0, len(payloads), batch):
        answers += _through_the_wire(scorer, bridge, data, payloads[first : first + batch], first, stream)
    return answers


def _bridge_side(scorer: Any) -> Any:
    """The bridge's part where events go as columns, else None."""
    if scorer.path.plan is None:
        return None
    from pyrunner.columns.through import BridgeSide

    return BridgeSide(scorer.signature)


def _through_the_wire(
    scorer: Any, bridge: Any, data: FakeData, payloads: Sequence[bytes | None], first: int, stream: str
) -> list[Answer]:
    from pyrunner.meta import Meta

    sent = Batch(
        1, first + 1, 0, 1, 5000, stream, [0, first, len(payloads)], list(payloads), None, None, None
    )
    by_columns = None if bridge is None else bridge.columns(sent)
    got = _decoded(
        codec.encode(sent, MAX_FRAME) if by_columns is None else codec.encode_aligned(by_columns, MAX_FRAME)
    )
    meta = Meta(got.stream, got.positions, lease=got.lease)
    scored = scorer.score(got.payloads, meta) if by_columns is None else scorer.score_columns(got, meta)
    scorer.access.under(got.lease, None).stage(scored.writes)
    ids = [f"{stream}/0/{first + row}" for row in range(len(payloads))]
    answered: list[Answer] = []
    for part in _parts(got.lease, scored, len(payloads), bridge):
        answered += [Answer(a.id, a.outputs, a.error, a.routes) for a in read_result(part, ids)]
    data.settle(got.lease)
    return answered


def _parts(lease: Lease, scored: Any, n: int, bridge: Any) -> Iterator[Result]:
    """The results that a bridge makes of an answer."""
    errors = [failure(*error) for error in scored.errors]
    if hasattr(scored, "layout"):
        body = memoryview(scored.body)
        answers = Answers(*lease, 0, n, scored.rows, scored.counts, errors, scored.layout, b"", body)
        yield bridge.result(_decoded(codec.encode_aligned(answers, MAX_FRAME)))
        return
    result = Result(*lease, 0, n, scored.outputs, scored.counts, scored.routes, errors)
    for frame in encode_result(result, MAX_FRAME):
        yield _decoded(frame)


class InProcess:
    """Calls to `FakeData` without a socket; arguments and answers go through the codec all the same."""

    def __init__(self, data: FakeData) -> None:
        self._data = data

    def begin(self, method: str, *args: Any, lease: Lease | None = None, deadline: float = 5.0) -> _Done:
        call = _decoded(
            codec.encode(
                Call(1, lease, int(deadline * 1000), method, codec.encode_value(list(args))), MAX_FRAME
            )
        )
        try:
            value = self._data.answer(method, codec.decode_value(call.args), lease)
            answer = Answering(1, True, codec.encode_value(value))
        except Refused as refused:
            told = [refused.code, refused.reason, refused.retry]
            answer = Answering(1, False, codec.encode_value(told))
        return _Done(_decoded(codec.encode(answer, MAX_FRAME)))


class _Done:
    """A call that is answered already."""

    def __init__(self, answer: Answering) -> None:
        self._pending = Pending()
        self._pending.answer(answer)

    def wait(self) -> Any:
        return self._pending.wait(0)


def _decoded(data: bytearray) -> Any:
    return codec.decode(data[4:], MINOR)
