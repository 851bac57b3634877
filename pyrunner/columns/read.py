"""A body of columns as what its buffers hold: views, no copies. What the layout's numbers cannot tell is checked here.

The body belongs to whoever gets its columns: it was received into a buffer of its own that is never used again, so that a model may
keep a column, and write into it.
"""

from __future__ import annotations

import datetime
import enum
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrunner.protocol.errors import DecodeError, malformed
from pyrunner.protocol.frames import LAYOUT
from pyrunner.protocol.layout import Encoding
from pyrunner.schema import EventSchema, FieldSchema

NULL_TIME = -(2**63)

#: The encodings in which a field of each kind may come.
ENCODINGS: dict[str, tuple[Encoding, ...]] = {
    "float": (Encoding.FLOAT,),
    "int": (Encoding.INT,),
    "bool": (Encoding.BOOL,),
    "str": (Encoding.TEXT, Encoding.WORDS),
    "category": (Encoding.CATEGORY,),
    "datetime": (Encoding.TIME,),
    "date": (Encoding.DATE,),
}
_DTYPES = {
    Encoding.FLOAT: np.dtype("<f8"),
    Encoding.INT: np.dtype("<i8"),
    Encoding.BOOL: np.dtype("?"),
    Encoding.WORDS: np.dtype("<i4"),
    Encoding.CATEGORY: np.dtype("<i4"),
    Encoding.TIME: np.dtype("<i8"),
    Encoding.DATE: np.dtype("<i8"),
}
_OFFSET = np.dtype("<i4")

FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999
FIRST_DAY, LAST_DAY = -719_162, 2_932_896
_RANGES: dict[int, tuple[int, int]] = {
    Encoding.TIME: (FIRST_US, LAST_US),
    Encoding.DATE: (FIRST_DAY, LAST_DAY),
}


class Column:
    """One column: where its buffers are, and what they hold."""

    __slots__ = ("_frame", "body", "encoding", "field", "nulls", "numbers", "rows")

    def __init__(self, field: FieldSchema, numbers: Sequence[int], rows: int, body: memoryview) -> None:
        self.field = field
        self.encoding = numbers[0]
        self.nulls = numbers[1]
        self.rows = rows
        self.numbers = numbers
        self.body = body

    @property
    def at(self) -> int:
        """Where the data begins in the body."""
        return self.numbers[4]

    def data(self) -> np.ndarray[Any, Any]:
        """The data buffer, one number a row: floats, integers, bools, codes, microseconds or days."""
        return np.ndarray((self.rows,), _DTYPES[self.encoding], self.body, self.numbers[4])  # type: ignore[index]

    def missing(self) -> np.ndarray[Any, Any]:
        """True where the value is null."""
        if not self.nulls:
            return np.zeros(self.rows, dtype=np.bool_)
        bits: np.ndarray[Any, Any] = np.unpackbits(self.validity(), count=self.rows, bitorder="little")
        return ~bits.view(np.bool_)

    def validity(self) -> np.ndarray[Any, Any]:
        """The bitmap."""
        return np.ndarray((self.numbers[3],), np.uint8, self.body, self.numbers[2])

    def offsets(self) -> np.ndarray[Any, Any]:
        """Where each text, or word, begins, and the last ends."""
        return np.ndarray((self.numbers[7] // 4,), _OFFSET, self.body, self.numbers[6])

    def text(self) -> memoryview:
        """The UTF-8 of all texts, or words."""
        at = self.numbers[8]
        return self.body[at : at + self.numbers[9]]

    def spans(self, name: str) -> tuple[int, int]:
        """Offset and length of a buffer in the body, for those who slice it themselves."""
        at = _SPANS[name]
        return self.numbers[at], self.numbers[at + 1]

    def values(self) -> list[Any]:
        """The values as the decoder would have made them, None for null; texts, words and choices alike."""
        values = _VALUES[self.field.kind](self)
        if self.nulls and self.encoding != Encoding.WORDS and self.encoding != Encoding.CATEGORY:
            for row in np.flatnonzero(self.missing()).tolist():
                values[row] = None
        return values

    def check(self, frame: str = "COLUMNS") -> None:
        """Raise DecodeError where codes or offsets point nowhere, values are none of their kind, or nulls are not as announced."""
        self._frame = frame
        if self.nulls:
            self._check_nulls()
        if self.encoding == Encoding.TEXT or self.encoding == Encoding.WORDS:
            self._check_offsets()
        if self.encoding == Encoding.WORDS:
            self._check_codes(self.numbers[7] // 4 - 1)
        elif self.encoding == Encoding.CATEGORY:
            self._check_codes(len(self.field.choices or ()))
        elif self.encoding in _RANGES:
            self._check_range(*_RANGES[self.encoding])
        elif self.encoding == Encoding.BOOL and self.data().view(np.uint8).max() > 1:
            raise self._wrong("has a bool that is neither 0 nor 1")

    def _check_nulls(self) -> None:
        if not self.field.nullable:
            raise self._wrong(f"has {self.nulls} nulls, and may have none")
        missing = self.missing()
        if (found := int(np.count_nonzero(missing))) != self.nulls:
            raise self._wrong(f"has {self.nulls} nulls, and {found} by its bitmap")
        if self.encoding == Encoding.FLOAT:
            said = np.isnan(self.data()[missing])
        elif self.encoding in _RANGES:
            said = self.data()[missing] == NULL_TIME
        else:
            return
        if not said.all():
            raise self._wrong("has a value where it has null")

    def _check_offsets(self) -> None:
        offsets = self.offsets()
        if offsets[0] < 0 or offsets[-1] > self.numbers[9] or (offsets[1:] < offsets[:-1]).any():
            raise self._wrong("has offsets that do not ascend within its text")
        text = bytes(self.text())
        if not text.isascii() and not _is_text(text, offsets):
            raise self._wrong("has a text that is not UTF-8")

    def _check_codes(self, most: int) -> None:
        codes = self.data()
        if int(codes.max()) >= most or (codes.min() < 0 and not self.nulls):
            raise self._wrong(f"has a code that is none of {most}")
        if self.nulls and not np.array_equal(codes < 0, self.missing()):
            raise self._wrong("has codes where it has nulls, or the other way round")

    def _check_range(self, least: int, most: int) -> None:
        values = self.data()
        if self.nulls:
            values = values[~self.missing()]
        if len(values) and not least <= int(values.min()) <= int(values.max()) <= most:
            raise self._wrong("has a time outside of the years 1 to 9999")

    def _wrong(self, what: str) -> DecodeError:
        return malformed(f"{self._frame}.body: {self.field.name} {what}")


def _is_text(text: bytes, offsets: np.ndarray[Any, Any]) -> bool:
    """Whether all is UTF-8 between the offsets, none of which is inside of a character."""
    first, last = int(offsets[0]), int(offsets[-1])
    try:
        str(memoryview(text)[first:last], "utf-8")
    except UnicodeDecodeError:
        return False
    starts = offsets[offsets < last]
    return not ((np.frombuffer(text, dtype=np.uint8)[starts] & 0xC0) == 0x80).any()


_SPANS = {"validity": 2, "data": 4, "offsets": 6, "text": 8}


class ColumnBatch:
    """A batch of events as columns. Containers of columns build from it; `column` and `events` give what raw events would.

    `order` has the columns in the class's order, which is the plan's.
    """

    __slots__ = ("body", "order", "rows", "schema")

    def __init__(self, schema: EventSchema, layout: Sequence[int], rows: int, body: memoryview) -> None:
        self.schema = schema
        self.rows = rows
        self.body = body
        self.order = [
            Column(field, layout[at : at + LAYOUT], rows, body)
            for field, at in zip(schema.fields, range(0, len(layout), LAYOUT), strict=True)
        ]

    def __len__(self) -> int:
        return self.rows

    def of(self, body: memoryview) -> ColumnBatch:
        """The same columns in another body of the same layout."""
        layout = [number for column in self.order for number in column.numbers]
        return ColumnBatch(self.schema, layout, self.rows, body)

    def column(self, name: str) -> list[Any]:
        """The values of one field, None where there is none."""
        names = self.schema.names
        return self.order[names.index(name)].values()

    def events(self) -> list[Any]:
        """The rows as events of the class."""
        make, names = self.schema.cls, self.schema.names
        columns = [column.values() for column in self.order]
        return [make(**dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]


def read(schema: EventSchema, layout: Sequence[int], rows: int, body: memoryview) -> ColumnBatch:
    """The columns of a class in a body whose layout `protocol.layout` let through. Raises DecodeError."""
    if len(layout) != LAYOUT * len(schema.fields):
        raise malformed(f"COLUMNS.layout: {len(layout)} numbers for {len(schema.fields)} fields")
    batch = ColumnBatch(schema, layout, rows, body)
    for column in batch.order:
        if column.encoding not in ENCODINGS[column.field.kind]:
            raise malformed(f"COLUMNS.layout: encoding {column.encoding} for {column.field.name}")
        if column.encoding != Encoding.FLOAT or column.nulls:
            column.check()
    return batch


# ---- values as Python has them


def texts(column: Column) -> list[str]:
    """All texts, or words, of a column; where a row is null, any text."""
    ends = column.offsets().tolist()
    data = bytes(column.text())
    if data.isascii():
        whole = data.decode("ascii")
        return [whole[start:end] for start, end in itertools.pairwise(ends)]
    return [data[start:end].decode() for start, end in itertools.pairwise(ends)]


def _strings(column: Column) -> list[Any]:
    if column.encoding == Encoding.WORDS:
        words = [*texts(column), None]  # -1 is null
        return [words[code] for code in column.data().tolist()]
    return texts(column) if column.rows else []


def choices(field: FieldSchema) -> list[Any]:
    """What the decoder makes of each code: the members of an enum, else the declared values; None at the end, for -1."""
    if isinstance(field.bare, type) and issubclass(field.bare, enum.Enum):
        return [*field.bare, None]
    return [*(field.choices or ()), None]


def _categories(column: Column) -> list[Any]:
    found = choices(column.field)
    return [found[code] for code in column.data().tolist()]


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_FIRST_DAY = datetime.date(1970, 1, 1)


def _times(column: Column) -> list[Any]:
    return [
        None if us == NULL_TIME else _EPOCH + datetime.timedelta(microseconds=us)
        for us in column.data().tolist()
    ]


def _dates(column: Column) -> list[Any]:
    return [
        None if day == NULL_TIME else _FIRST_DAY + datetime.timedelta(days=day)
        for day in column.data().tolist()
    ]


def _numbers(column: Column) -> list[Any]:
    return list(column.data().tolist())


_VALUES = {
    "float": _numbers,
    "int": _numbers,
    "bool": _numbers,
    "str": _strings,
    "category": _categories,
    "datetime": _times,
    "date": _dates,
}
