"""Outcomes, one an event, laid out as RESULT carries them: outputs, counts, routes, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pyrunner.outcomes import Reject, To
from pyrunner.scoring.failures import REJECT, RETRY, RETRY_MS, Failure, RowError
from pyrunner.scoring.verify import OutputCheck


class Layout(NamedTuple):
    """`counts` is None when every event without an error has one output. `routes` alternates index into outputs and stream."""

    outputs: list[Any]
    lines: bytes
    counts: list[int] | None
    routes: list[int | str] | None
    errors: list[RowError]


def lay_out(outcomes: Sequence[Any], check: OutputCheck) -> Layout:
    """Outcomes of any kind. An output that is not what its class declares becomes its event's failure, neighbours stay."""
    rows = [_Row(outcome) for outcome in outcomes]
    outputs = [output for row in rows for output in row.outputs]
    lines = check.lines(outputs)
    if lines is None:
        outputs = _recover(rows, check)
        lines = check.lines(outputs)
        assert lines is not None, "outputs that are fine one by one are fine together"
    counts = [len(row.outputs) for row in rows]
    plain = all(count == (row.failure is None) for count, row in zip(counts, rows, strict=True))
    errors = [row.failure.at(index) for index, row in enumerate(rows) if row.failure is not None]
    return Layout(outputs, lines, None if plain else counts, _routes(rows), errors)


class _Row:
    """What became of one event."""

    __slots__ = ("failure", "outputs", "streams")

    def __init__(self, outcome: Any) -> None:
        self.failure: Failure | None = None
        self.outputs: list[Any] = []
        self.streams: dict[int, str] = {}
        if isinstance(outcome, Failure):
            self.failure = outcome
        elif isinstance(outcome, Reject):
            self.failure = rejection(outcome)
        elif isinstance(outcome, (list, tuple)):
            for item in outcome:
                self._add(item)
        elif outcome is not None:
            self._add(outcome)

    def _add(self, item: Any) -> None:
        if isinstance(item, To):
            self.streams[len(self.outputs)] = item.stream
            item = item.output
        self.outputs.append(item)


def rejection(outcome: Reject) -> Failure:
    """A Reject as the wire has it."""
    if outcome.retry:
        return Failure(RETRY, outcome.code, str(outcome.reason), None, RETRY_MS)
    return Failure(REJECT, outcome.code, str(outcome.reason))


def _recover(rows: list[_Row], check: OutputCheck) -> list[Any]:
    """Make numpy's scalars Python's; then an event with an output that is still wrong fails as a whole."""
    for row in rows:
        row.outputs = [check.native(output) for output in row.outputs]
        for output in row.outputs:
            if (failure := check.failure(output)) is not None:
                row.failure, row.outputs, row.streams = failure, [], {}
                break
    return [output for row in rows for output in row.outputs]


def _routes(rows: list[_Row]) -> list[int | str] | None:
    routes: list[int | str] = []
    at = 0
    for row in rows:
        for position, stream in row.streams.items():
            routes += [at + position, stream]
        at += len(row.outputs)
    return routes or None
