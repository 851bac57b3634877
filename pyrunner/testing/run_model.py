"""Scores events the way a worker does, without sockets: encode, decode, score, encode, decode."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pyrunner.protocol import Batch, Result, codec
from pyrunner.protocol.frames import MAX_FRAME
from pyrunner.protocol.results import encode_result, failure
from pyrunner.testing.fake_bridge import Answered, read_result


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


def run_model(model: Any, events: Iterable[Any], *, batch: int = 256, stream: str = "events") -> list[Answer]:
    """The fate of each event, in order.

    `events` are dicts, events of the model's class, or raw payloads (bytes; None is a null value). All go through the real
    codec in batches of `batch`, so what the model sees and answers is what it would see and answer behind a bridge.
    """
    from pyrunner.scoring import Scorer

    scorer = Scorer(model)
    payloads = [
        event if event is None or isinstance(event, bytes) else msgspec.json.encode(event) for event in events
    ]
    answers: list[Answer] = []
    for first in range(0, len(payloads), batch):
        answers += _through_the_wire(scorer, payloads[first : first + batch], first, stream)
    return answers


def _through_the_wire(scorer: Any, payloads: Sequence[bytes | None], first: int, stream: str) -> list[Answer]:
    from pyrunner.meta import Meta

    sent = Batch(
        1, first + 1, 0, 1, 5000, stream, [0, first, len(payloads)], list(payloads), None, None, None
    )
    got = _decoded(codec.encode(sent, MAX_FRAME))
    assert isinstance(got, Batch)
    scored = scorer.score(got.payloads, Meta(got.stream, got.positions))
    errors = [failure(*error) for error in scored.errors]
    result = Result(
        got.nonce,
        got.batch,
        got.epoch,
        0,
        len(got.payloads),
        scored.outputs,
        scored.counts,
        scored.routes,
        errors,
    )
    ids = [f"{stream}/0/{first + row}" for row in range(len(payloads))]
    answered: list[Answer] = []
    for data in encode_result(result, MAX_FRAME):
        part = _decoded(data)
        assert isinstance(part, Result)
        answered += [Answer(a.id, a.outputs, a.error, a.routes) for a in read_result(part, ids)]
    return answered


def _decoded(data: bytearray) -> Any:
    return codec.decode(bytes(data[4:]))
