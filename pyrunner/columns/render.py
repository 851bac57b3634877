"""The bridge's part in Python: rows of ANSWERS as the JSON lines that a RESULT would have had. For tests and `check_model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pyrunner.columns.read import ENCODINGS, Column
from pyrunner.protocol.errors import malformed
from pyrunner.protocol.frames import LAYOUT, Answers, Result
from pyrunner.schema import FieldSchema


def result_of(answers: Answers, outputs: Sequence[FieldSchema]) -> Result:
    """The RESULT that says the same. Raises DecodeError where the columns are not those of the plan's outputs."""
    lines = render(outputs, answers.layout, answers.rows, answers.body)
    return Result(*answers.lease, answers.first, answers.count, lines, answers.counts, None, answers.errors)


def render(outputs: Sequence[FieldSchema], layout: Sequence[int], rows: int, body: memoryview) -> bytes:
    """One line a row, in the bytes of msgspec."""
    if len(layout) != LAYOUT * len(outputs):
        raise malformed(f"ANSWERS.layout: {len(layout)} numbers for {len(outputs)} outputs")
    columns: list[list[Any]] = []
    for at, field in enumerate(outputs):
        column = Column(field, layout[LAYOUT * at : LAYOUT * at + LAYOUT], rows, body)
        if column.encoding not in ENCODINGS[field.kind]:
            raise malformed(f"ANSWERS.layout: encoding {column.encoding} for {field.name}")
        column.check("ANSWERS")
        columns.append(column.values())
    names = [field.wire for field in outputs]
    return msgspec.json.Encoder().encode_lines(
        dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)
    )
