"""What is wrong with a frame whose types are right: lengths in bytes, names, sums, order (PROTOCOL.md section 2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, get_type_hints

import msgspec

from pyrunner.protocol import layout
from pyrunner.protocol.errors import malformed, over_limit
from pyrunner.protocol.frames import (
    MAX_EVENTS,
    MAX_NAME,
    MAX_ROWS,
    Answer,
    Answers,
    AnyFrame,
    Batch,
    Call,
    Columns,
    Frame,
    Result,
    RowFailure,
    Str,
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_STREAM = Str(MAX_NAME, empty=False)


def check(frame: Frame) -> None:
    """Raise DecodeError, naming type and field, when the frame breaks a rule."""
    kind = type(frame)
    for field, rule in _TEXTS[kind]:
        _check_text(f"{kind.__name__.upper()}.{field}", getattr(frame, field), rule)
    if more := _MORE.get(kind):
        more(frame)


def check_leased(batch: Batch | Columns) -> None:
    """What `check` does, for any kind of batch and at less cost."""
    if isinstance(batch, Batch):
        _check_text("BATCH.stream", batch.stream, _STREAM)
        _check_batch(batch)
    else:
        _check_text("COLUMNS.stream", batch.stream, _STREAM)
        _check_columns(batch)


def _texts(kind: type) -> list[tuple[str, Str]]:
    """The str fields of a struct with their rules, read off the annotations."""
    hints = get_type_hints(kind, include_extras=True)
    marks = {field: getattr(hints[field], "__metadata__", ()) for field in kind.__struct_fields__}  # type: ignore[attr-defined]
    return [(field, rule) for field, found in marks.items() for rule in found if isinstance(rule, Str)]


_TEXTS: dict[type, list[tuple[str, Str]]] = {kind: _texts(kind) for kind in AnyFrame.__args__}
_ERROR_TEXTS = _texts(RowFailure)


def _check_text(place: str, text: str, rule: Str) -> None:
    size = len(text) if text.isascii() else len(text.encode())
    if size > rule.max_bytes:
        raise over_limit(f"{place}: {size} bytes, at most {rule.max_bytes} are allowed")
    if not size and not rule.empty:
        raise malformed(f"{place}: is empty")
    if not rule.free and _CONTROL.search(text):
        raise malformed(f"{place}: has a control character")


def _check_batch(batch: Batch) -> None:
    count = len(batch.payloads)
    if not count:
        raise malformed("BATCH.payloads: no event")
    _check_positions("BATCH", batch.positions, count)
    _check_metadata("BATCH", batch, count)


def _check_metadata(frame: str, batch: Batch | Columns, count: int) -> None:
    for field in ("keys", "timestamps", "headers"):
        column = getattr(batch, field)
        if column is not None and len(column) != count:
            raise malformed(f"{frame}.{field}: {len(column)} for {count} events")
    if batch.headers is not None and not all(map(_alternates, batch.headers)):
        raise malformed(f"{frame}.headers: a list is not names (str) and values (bin) in turn")


def _check_positions(frame: str, positions: list[int], count: int) -> None:
    if len(positions) == 3:  # nearly always: one run
        partition, first, number = positions
        if number == count and 0 <= partition < 2**31 and 0 <= first <= 2**63 - number:
            return
    partitions, firsts, numbers = positions[0::3], positions[1::3], positions[2::3]
    if len(positions) % 3 or sum(numbers) != count or min(numbers) < 1:
        raise malformed(f"{frame}.positions: the runs do not add up to {count} events")
    if min(partitions) < 0 or max(partitions) >= 2**31 or min(firsts) < 0:
        raise malformed(f"{frame}.positions: a partition or an offset is out of range")
    if max(map(int.__add__, firsts, numbers)) > 2**63:
        raise malformed(f"{frame}.positions: a run goes past the last offset")


def _check_columns(batch: Columns) -> None:
    count = sum(batch.positions[2::3])
    if count < 1:
        raise malformed("COLUMNS.positions: no event")
    if count > MAX_EVENTS:
        raise over_limit(f"COLUMNS.positions: {count} events, at most {MAX_EVENTS} are allowed")
    _check_positions("COLUMNS", batch.positions, count)
    _check_metadata("COLUMNS", batch, count)
    if batch.misfits:
        _check_misfits(batch.misfits, count)
    if batch.unknown:
        _check_unknown(batch.unknown, count)
    if not batch.rows or batch.rows != count - len(batch.misfits) // 2:
        raise malformed(
            f"COLUMNS.rows: {batch.rows} for {count} events and {len(batch.misfits) // 2} misfits"
        )
    layout.check("COLUMNS", batch.layout, batch.rows, len(batch.body))


def _check_unknown(unknown: list[Any], count: int) -> None:
    if tuple(map(type, unknown)) != (str, int) * (len(unknown) // 2):
        raise malformed("COLUMNS.unknown: not name and number in turn")
    if max(map(len, map(str.encode, unknown[0::2]))) > MAX_NAME:
        raise over_limit(f"COLUMNS.unknown: a name of more than {MAX_NAME} bytes")
    if not 1 <= min(numbers := unknown[1::2]) <= max(numbers) <= count:
        raise malformed(f"COLUMNS.unknown: a number that is not of 1 to {count} events")


def _check_misfits(misfits: list[Any], count: int) -> None:
    indices, payloads = misfits[0::2], misfits[1::2]
    if len(misfits) % 2 or any(type(i) is not int for i in indices) or any(type(p) is int for p in payloads):
        raise malformed("COLUMNS.misfits: not index and payload in turn")
    if any(not before < index for before, index in zip([-1, *indices], indices, strict=False)) or (
        indices[-1] >= count
    ):
        raise malformed("COLUMNS.misfits: an index is out of order or of range")


def _alternates(pairs: list[Any] | None) -> bool:
    if pairs is None:
        return True
    return tuple(map(type, pairs)) == (str, bytes) * (len(pairs) // 2)


def _check_result(result: Result) -> None:
    _check_part("RESULT", result)
    outputs = _count_outputs(result.outputs)
    _check_counts("RESULT", result, outputs)
    if result.routes:
        _check_routes(result.routes, outputs)


def _check_answers(answers: Answers) -> None:
    _check_part("ANSWERS", answers)
    if not answers.rows:
        raise malformed("ANSWERS.rows: a result without a row is a RESULT")
    if answers.rows > MAX_ROWS:
        raise over_limit(f"ANSWERS.rows: {answers.rows} rows, at most {MAX_ROWS} are allowed")
    _check_counts("ANSWERS", answers, answers.rows)
    layout.check("ANSWERS", answers.layout, answers.rows, len(answers.body))


def _check_part(frame: str, result: Result | Answers) -> None:
    if not result.count:
        raise malformed(f"{frame}.count: a part covers at least one event")
    if result.first + result.count > MAX_EVENTS:
        raise over_limit(f"{frame}.count: goes past event {MAX_EVENTS}")
    _check_errors(frame, result.errors, result.first, result.count)


def _check_errors(frame: str, errors: list[RowFailure], first: int, count: int) -> None:
    before = first - 1
    for error in errors:
        if not before < error.index < first + count:
            raise malformed(f"{frame}.errors: index {error.index} is out of order or of range")
        before = error.index
        for field, rule in _ERROR_TEXTS:
            _check_text(f"{frame}.errors", getattr(error, field), rule)


def _count_outputs(outputs: bytes | list[bytes]) -> int:
    if isinstance(outputs, list):
        return len(outputs)
    if outputs and not outputs.endswith(b"\n"):
        raise malformed("RESULT.outputs: the last line has no end")
    return outputs.count(b"\n")


def _check_counts(frame: str, result: Result | Answers, outputs: int) -> None:
    counts = result.counts
    announced = result.count - len(result.errors) if counts is None else sum(counts)
    if counts is not None:
        if len(counts) != result.count:
            raise malformed(f"{frame}.counts: {len(counts)} for {result.count} events")
        if any(counts[error.index - result.first] for error in result.errors):
            raise malformed(f"{frame}.counts: an event with an error has outputs")
    if announced != outputs:
        field = "outputs" if isinstance(result, Result) else "rows"
        raise malformed(f"{frame}.{field}: {outputs} where {announced} are announced")


def _check_routes(routes: list[int | str], outputs: int) -> None:
    if tuple(map(type, routes)) != (int, str) * (len(routes) // 2):
        raise malformed("RESULT.routes: not index and stream in turn")
    before = -1
    for index in routes[0::2]:
        if not before < int(index) < outputs:
            raise malformed(f"RESULT.routes: index {index} is out of order or of range")
        before = int(index)
    for stream in routes[1::2]:
        _check_text("RESULT.routes", str(stream), _STREAM)


def _check_call(call: Call) -> None:
    first = bytes(call.args)[0]
    if not (0x90 <= first <= 0x9F or first in (0xDC, 0xDD)):
        raise malformed("CALL.args: no array")


def _check_answer(answer: Answer) -> None:
    if answer.ok:
        return
    value = msgspec.msgpack.decode(answer.value)
    if not (isinstance(value, list) and tuple(map(type, value)) == (str, str, bool)):
        raise malformed("ANSWER.value: a failed call is answered by code, reason, retry")
    for text, field in zip(value, _ERROR_TEXTS, strict=False):
        _check_text("ANSWER.value", text, field[1])


_MORE: dict[type, Callable[[Any], None]] = {
    Answer: _check_answer,
    Answers: _check_answers,
    Batch: _check_batch,
    Call: _check_call,
    Columns: _check_columns,
    Result: _check_result,
}
