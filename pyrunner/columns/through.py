"""Payloads answered by way of columns, without a bridge: composed, sent through the codec, scored, rendered. For `check_model` and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pyrunner.columns.compose import Composer
from pyrunner.columns.read import read
from pyrunner.columns.render import result_of
from pyrunner.meta import NOTHING, Meta
from pyrunner.protocol import Answers, Batch, Columns, Result, codec
from pyrunner.protocol.frames import MAX_FRAME
from pyrunner.protocol.preface import MINOR
from pyrunner.protocol.results import failure
from pyrunner.scoring import Scored, Scorer
from pyrunner.signature import Signature


class BridgeSide:
    """What a bridge does for one model: batches to columns, and answers back to what a worker without columns would have sent."""

    def __init__(self, signature: Signature) -> None:
        plan = signature.path.plan
        assert plan is not None, "only for a model whose events go as columns"
        self._outputs = plan.outputs or ()
        self._composer = Composer(signature.input_schema, plan)

    def columns(self, batch: Batch) -> Columns | None:
        """None where no event is a row: then the batch goes as it is."""
        return self._composer.columns(batch)

    def result(self, answers: Answers) -> Result:
        """Raises DecodeError for columns that are not those of the plan."""
        return result_of(answers, self._outputs)


class ThroughColumns:
    """As the Scorer that it is made of, whose model has a plan. `frames` counts answers that came as columns and as lines."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer, self._bridge = scorer, BridgeSide(scorer.signature)
        self.frames = {"columns": 0, "lines": 0}

    def score(self, payloads: Sequence[bytes | None], meta: Meta = NOTHING) -> Scored:
        frame = self.composed(payloads)
        if frame is None:
            return self._scorer.score(payloads, meta)
        scored = self._scorer.score_columns(frame, meta)
        if isinstance(scored, Scored):
            self.frames["lines"] += 1
            return scored
        self.frames["columns"] += 1
        errors = [failure(*error) for error in scored.errors]
        sent = Answers(
            *frame.lease, 0, len(payloads), scored.rows, scored.counts, errors, scored.layout, b"",
            memoryview(scored.body),
        )  # fmt: skip
        lines = self._bridge.result(_received(sent)).outputs
        assert isinstance(lines, bytes)
        return Scored(lines, scored.counts, None, scored.errors, scored.writes)

    def given(self, payloads: Sequence[bytes | None]) -> Any:
        """What the model's method would be given; None where no payload is an event."""
        frame = self.composed(payloads)
        if frame is None:
            return None
        batch = read(self._scorer.signature.input_schema, frame.layout, frame.rows, frame.body)
        return self._scorer.container.build_columns(batch)  # type: ignore[attr-defined]

    def composed(self, payloads: Sequence[bytes | None]) -> Columns | None:
        """The frame as a worker would have it; None where no event is a row."""
        batch = Batch(1, 1, 0, 1, 5000, "events", [0, 0, len(payloads)], list(payloads), None, None, None)
        frame = self._bridge.columns(batch) if payloads else None
        return None if frame is None else _received(frame)


def _received(frame: Any) -> Any:
    """What the other side has of a frame."""
    return codec.decode(codec.encode_aligned(frame, MAX_FRAME)[4:], MINOR)
