"""The answers to rows as one JSON body, in the very form of the API: what `predict` prints and `POST /predict` answers.

one row     its output; a list if it has none or several; {"rejected": reason}; of a row that does not fit its class
            {"errors": [{"field", "got", "expected"}]}; of any other failure {"error": reason, "code": ...}
a list      {"predictions": [...], "errors": [...]}, both by position: null in the one where the other has an entry

A failure that is the whole of an HTTP answer has the other members of a problem (RFC 9457) besides.

The API's side is bridge_go/front/buffer.go; tests/e2e/test_same_answers.py holds the two together.
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

    def problem(self) -> dict[str, Any] | None:
        """Why it has no output, None if it has: the model's own verdict, each wrong field, or the failure and its code."""
        if self.error is None:
            return None
        code, reason = self.error.code, self.error.reason
        if not self.failed:
            return {"rejected": reason} if code in ("", "rejected") else {"rejected": reason, "code": code}
        detail = self._detail()
        if code == "invalid_event" and isinstance(detail, list):
            return {"errors": detail}
        return {"error": reason, "code": code}

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
            "errors": [a.problem() for a in found],
        }
    (answer,) = found
    return answer.problem() or answer.prediction()
