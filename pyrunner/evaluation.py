"""The default of `Model.evaluate`: how far answers are from what really happened, for each result field that the data also has.

Validation rows go through the same Scorer as any event; those that the model rejects, or that are no events, are left out and
counted. Numbers give `rmse`, everything else `accuracy`; with several such fields the name is added: `rmse_arr_delay`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyrunner.errors import UserError
from pyrunner.schema import EventSchema, FieldSchema, schema_of

if TYPE_CHECKING:
    from pyrunner.context import Context
    from pyrunner.model import Model

_NUMBERS = ("float", "int", "decimal")
_BLOCK = 4096  # rows a call


def evaluate(model: Model[Any, Any], validation: Any, ctx: Context | None = None) -> dict[str, float]:
    """Metrics of a fitted model over a frame, table, dict of columns or list of rows. `ctx` is whose data predict asks for."""
    from pyrunner.history import columns_of, payloads_of
    from pyrunner.scoring import Scorer

    scorer = Scorer(model, access=None if ctx is None else ctx._access)
    columns = columns_of(validation)
    targets = target_fields(scorer.signature.output_schema, columns)
    if not targets:
        raise UserError(
            f"{type(model).__name__}.evaluate: none of {', '.join(scorer.signature.output_schema.names)} is a column of the validation "
            f"data, which has {', '.join(columns) or 'none'}. Name the columns so, or write evaluate(self, validation) -> dict[str, float]"
        )
    payloads = payloads_of(validation, scorer.signature.input_schema)
    answers = _answers(scorer, payloads)
    found: dict[str, float] = {}
    for field in targets:
        pairs = [(getattr(answer, field.name), columns[field.name][row]) for row, answer in answers]
        found |= _metric(field, pairs, alone=len(targets) == 1)
    return found | {"rows": float(len(answers)), "left_out": float(len(payloads) - len(answers))}


def baseline(history: Any, validation: Any, cls: type[Any]) -> dict[str, float]:
    """The same metrics for always answering the mean (or the most frequent value) of the history."""
    from pyrunner.history import columns_of
    from pyrunner.signature import event_classes

    seen, asked = columns_of(history), columns_of(validation)
    targets = [f for f in target_fields(schema_of(event_classes(cls)[1]), asked) if f.name in seen]
    found: dict[str, float] = {}
    for field in targets:
        known = [v for v in seen[field.name] if not missing(v)]
        if known:
            answer = _constant(field, known)
            found |= _metric(field, [(answer, v) for v in asked[field.name]], alone=len(targets) == 1)
    return found


def target_fields(output: EventSchema, columns: Mapping[str, Any]) -> list[FieldSchema]:
    """The result fields that can be compared with a column."""
    comparable = (*_NUMBERS, "bool", "str", "category")
    return [f for f in output if f.name in columns and f.kind in comparable]


def _answers(scorer: Any, payloads: Sequence[bytes]) -> list[tuple[int, Any]]:
    """Row and answer, where there is exactly one."""
    decode = scorer.decode_outputs
    answers: list[tuple[int, Any]] = []
    for start in range(0, len(payloads), _BLOCK):
        block = payloads[start : start + _BLOCK]
        for row, outputs in enumerate(decode(scorer.score(block), len(block))):
            if len(outputs) == 1:
                answers.append((start + row, outputs[0]))
    return answers


def _metric(field: FieldSchema, pairs: Sequence[tuple[Any, Any]], *, alone: bool) -> dict[str, float]:
    pairs = [(answer, real) for answer, real in pairs if not missing(real) and not missing(answer)]
    if not pairs:
        return {}
    suffix = "" if alone else f"_{field.name}"
    if field.kind in _NUMBERS:
        squares = math.fsum((float(answer) - float(real)) ** 2 for answer, real in pairs)
        return {f"rmse{suffix}": math.sqrt(squares / len(pairs))}
    return {f"accuracy{suffix}": sum(answer == real for answer, real in pairs) / len(pairs)}


def _constant(field: FieldSchema, known: Sequence[Any]) -> Any:
    if field.kind in _NUMBERS:
        return math.fsum(map(float, known)) / len(known)
    counts: dict[Any, int] = {}
    for value in known:
        counts[value] = counts.get(value, 0) + 1
    return max(counts, key=counts.__getitem__)


def missing(value: Any) -> bool:
    """None, NaN, NaT, pd.NA."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value
