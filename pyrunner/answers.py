"""The answers to rows as one JSON body, as the API gives them: what `predict` prints and `POST /predict` answers.

one row     its output; a list if it has none or several; {"rejected": reason}; {"errors": [...]}
a list      {"predictions": [...], "errors": [...]}: predictions are positional, null where a row has none,
            and each error names its row by `index`
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from pyrunner.scoring import RowError, Scored

REJECTED = 1  # PROTOCOL.md, kinds of errors


@dataclass
class Answer:
    """What became of one row."""

    row: int
    outputs: list[Any] = field(default_factory=list)
    error: RowError | None = None

    @property
    def failed(self) -> bool:
        """It has neither outputs nor a verdict of the model's own."""
        return self.error is not None and self.error.kind != REJECTED

    @property
    def reason(self) -> str:
        return self.error.reason if self.error else ""

    @property
    def traceback(self) -> str:
        """Of the model's own exception, from the user's frame; empty for anything else."""
        detail = self._detail()
        return str(detail.get("traceback", "")) if isinstance(detail, dict) else ""

    def prediction(self) -> Any:
        """The output itself where there is exactly one."""
        return self.outputs[0] if len(self.outputs) == 1 else self.outputs

    def problems(self) -> list[Any]:
        """What is wrong: of an event that does not fit, each field; of anything else its code and reason."""
        assert self.error is not None
        detail = self._detail()
        return (
            detail if isinstance(detail, list) else [{"code": self.error.code, "reason": self.error.reason}]
        )

    def _detail(self) -> Any:
        return json.loads(self.error.detail) if self.error and self.error.detail else None


def answers(scored: Scored, rows: int) -> list[Answer]:
    """One answer a row, in order."""
    errors = {e.index: e for e in scored.errors}
    found = [Answer(row, error=errors.get(row)) for row in range(rows)]
    counts = scored.counts if scored.counts is not None else [int(row not in errors) for row in range(rows)]
    outputs = map(msgspec.json.decode, scored.split())
    for answer, count in zip(found, counts, strict=True):
        answer.outputs = [next(outputs) for _ in range(count)]
    return found


def body(found: list[Answer], *, many: bool) -> Any:
    """The body as a JSON value."""
    if many:
        return {
            "predictions": [None if a.error else a.prediction() for a in found],
            "errors": [_positioned(a) for a in found if a.error],
        }
    (answer,) = found
    if answer.error is None:
        return answer.prediction()
    return {"errors": answer.problems()} if answer.failed else {"rejected": answer.reason}


def _positioned(answer: Answer) -> dict[str, Any]:
    if not answer.failed:
        return {"index": answer.row, "rejected": answer.reason}
    return {"index": answer.row, "errors": answer.problems()}
