"""`list[In]`: the events themselves, and one outcome for each."""

from __future__ import annotations

from typing import Any, ClassVar

from pyrunner.containers.base import BadAnswer, TypedBatch, from_sequence, with_rejections
from pyrunner.containers.columns import ColumnAnswers
from pyrunner.context import Context
from pyrunner.signature import Signature


class ListContainer:
    name: ClassVar[str] = "list"

    def __init__(self, signature: Signature) -> None:
        self._columns = ColumnAnswers(signature)

    def build(self, batch: TypedBatch) -> Any:
        return batch.events

    def outcomes(self, answer: Any, ctx: Context) -> list[Any]:
        if isinstance(answer, (list, tuple)):
            return with_rejections(from_sequence(answer, ctx.n), ctx)
        if self._columns.reads(answer):
            return self._columns.outcomes(answer, ctx)
        raise BadAnswer(
            "wrong_type",
            f"returned {type(answer).__name__} for a list of events",
            fix="Return a list with one answer for each event.",
            systematic=True,
        )


CONTAINER = ListContainer
