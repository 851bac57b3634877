"""A model's answer as the columns of ANSWERS, where it is plainly columnar; else None, and it goes as lines.

Plain is: columns of the output class's own types, every value fit for its field, rows that follow from the index. Then nothing is done
for each row. Whatever is not so (a value out of bounds, NaN where no null may be, an index that is not the frame's) is
left to containers/columns.py, which tells rows and reasons apart; so an answer has the same fate by both ways.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pyrunner.columns.encode import write_column, write_nulls
from pyrunner.columns.plan import Plan
from pyrunner.columns.values import MOST_BYTES, Array, NotPlain, taken
from pyrunner.columns.write import BodyWriter
from pyrunner.containers.base import BadAnswer
from pyrunner.containers.columns import ColumnAnswers
from pyrunner.context import Context
from pyrunner.signature import Signature

_MOST_NAMES = 64  # sets of names that are remembered


class Answered(NamedTuple):
    """`counts` has the number of outputs of each row that came, None where each that is not rejected has one."""

    rows: int
    counts: list[int] | None
    layout: list[int]
    body: bytes


_ODD = (
    NotPlain, BadAnswer, TypeError, ValueError, ArithmeticError, AttributeError, LookupError, ImportError
)  # fmt: skip


class AnswerColumns:
    """Reads the answers of one model. `read` looks at no rejected row's values."""

    def __init__(self, signature: Signature, plan: Plan) -> None:
        self._outputs = plan.outputs
        self._answers = ColumnAnswers(signature)
        self._many = signature.many
        self._wanted: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def read(self, answer: Any, ctx: Context) -> Answered | None:
        """The columns of an answer to `ctx.n` rows, or None."""
        if self._outputs is None or not self._answers.reads(answer):
            return None
        try:
            keep, counts = self._rows(answer, ctx)
            columns = self._columns(answer)
            return self._written(columns, keep, counts, ctx)
        except _ODD:
            return None  # whatever is odd about it is told row by row

    def _columns(self, answer: Any) -> dict[str, Any]:
        """The answer's columns by output field. Which names of a dict are those of fields is found once."""
        if not isinstance(answer, dict):
            return self._answers.columns(answer)
        names = tuple(answer)
        wanted = self._wanted.get(names)
        if wanted is None:
            wanted = tuple(self._answers.columns(answer))
            if len(self._wanted) < _MOST_NAMES:
                self._wanted[names] = wanted
        return {name: answer[name] for name in wanted}

    def _written(
        self, columns: dict[str, Any], keep: Array | None, counts: Any, ctx: Context
    ) -> Answered | None:
        n = None if self._many else ctx.n
        arrays = {name: taken(column, keep, n, len(ctx.rejected)) for name, column in columns.items()}
        lengths = {len(array) for array in arrays.values()}
        rows = lengths.pop() if len(lengths) == 1 else 0
        if lengths or not rows:
            return None
        writer = BodyWriter()
        for field in self._outputs or ():
            if field.name in arrays:
                write_column(writer, field, arrays[field.name])
            elif field.nullable and field.default is None:
                write_nulls(writer, field, rows)
            else:
                return None
        return Answered(rows, counts, writer.layout, writer.body()) if writer.size <= MOST_BYTES else None

    def _rows(self, answer: Any, ctx: Context) -> tuple[Array | None, list[int] | None]:
        """Which lines of the answer count, None for all, and how many each row has."""
        index = getattr(answer, "index", None) if hasattr(answer, "iloc") else None
        if self._many:
            if index is None:
                raise NotPlain
            return _of_many(_labels(index), ctx)
        if index is not None and not _is_range(index, ctx.n):
            labels = _labels(index)
            if ctx.rejected and np.array_equal(labels, _kept(ctx)):
                return None, None
            raise NotPlain
        return (_kept(ctx) if ctx.rejected else None), None


def _is_range(index: Any, n: int) -> bool:
    if hasattr(index, "step"):
        return bool(index.start == 0 and index.step == 1 and len(index) == n)
    return np.array_equal(_labels(index), np.arange(n))


def _labels(index: Any) -> Array:
    labels: Array = index.to_numpy()
    if labels.dtype.kind != "i":
        raise NotPlain
    return labels


def _kept(ctx: Context) -> Array:
    keep = np.ones(ctx.n, dtype=np.bool_)
    keep[list(ctx.rejected)] = False
    return np.flatnonzero(keep)


def _of_many(labels: Array, ctx: Context) -> tuple[Array | None, list[int] | None]:
    if len(labels) and not (labels[0] >= 0 and labels[-1] < ctx.n and (labels[1:] >= labels[:-1]).all()):
        raise NotPlain
    keep = None
    if ctx.rejected:
        keep = np.flatnonzero(~np.isin(labels, list(ctx.rejected)))
        labels = labels[keep]
    return keep, np.bincount(labels, minlength=ctx.n).tolist()
