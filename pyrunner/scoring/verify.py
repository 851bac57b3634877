"""Whether outputs are what the class declares. msgspec checks nothing when a struct is made, and writes NaN as null.

For each output class a loop is compiled that looks at every field once: 0.03 us an output of two fields, against 0.10 for decoding
the encoded lines again, and 0.08 for sets of types. What the loop cannot judge (nested events, lists, patterns) is
decoded again after encoding.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from pyrunner.fields import INT64_MAX, INT64_MIN
from pyrunner.schema import EventSchema, FieldSchema
from pyrunner.scoring.decode import decoder_of
from pyrunner.scoring.failures import FAIL, Failure
from pyrunner.scoring.invalid import Problem, shown

_BOUNDS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


class OutputCheck:
    """Encodes and checks the outputs of one class."""

    def __init__(self, schema: EventSchema, call: str) -> None:
        self._schema = schema
        self._call = call
        self._clean, judged = compile_check(schema)
        self._again = None if judged else decoder_of(schema)
        self._encode = msgspec.json.Encoder().encode_lines if schema.is_struct else _encode_pydantic
        self._decode_one = decoder_of(schema)

    def lines(self, outputs: Sequence[Any]) -> bytes | None:
        """The outputs as JSON lines, or None when one of them is not what it should be."""
        try:
            if not self._clean(outputs):
                return None
            lines = self._encode(outputs)
            if self._again is not None:
                for line in lines.splitlines():
                    self._again(line)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            return None
        return lines

    def native(self, output: Any) -> Any:
        """The output with numpy's and pandas' scalars as Python's; the same object where that is possible."""
        if not isinstance(output, self._schema.cls):
            return output
        for field in self._schema:
            value = getattr(output, field.name)
            plain = _native(value, field)
            if plain is not value:
                setattr(output, field.name, plain)
        return output

    def failure(self, output: Any) -> Failure | None:
        """What is wrong with one output, as the failure of its event."""
        cls = self._schema.cls
        if not isinstance(output, cls):
            return Failure(
                FAIL, "wrong_type",
                f"{self._call} returned {_of_kind(output)}, expected {cls.__name__}, Reject, None, To or a list of them",
            )  # fmt: skip
        if self.lines([output]) is not None:
            return None
        problems = [p for field in self._schema if (p := _problem(output, field)) is not None]
        if not problems:
            problems = [{"field": "", "got": cls.__name__, "expected": self._expected(output)}]
        said = "; ".join(f"{p['field']} is {_quoted(p['got'])}, expected {p['expected']}" for p in problems)
        return Failure(FAIL, "invalid_output", f"{self._call}: {said}", msgspec.json.encode(problems))

    def _expected(self, output: Any) -> str:
        """What is wrong with the whole where no field is."""
        try:
            self._decode_one(self._encode([output]))
        except Exception as error:
            return str(error)
        return "values of the declared types"


def compile_check(schema: EventSchema) -> tuple[Callable[[Sequence[Any]], bool], bool]:
    """A function that says whether all outputs are clean, and whether its word is the last."""
    cls = schema.cls
    names: dict[str, Any] = {"type": type, "cls": cls, "datetime": datetime.datetime, "date": datetime.date}
    body: list[str] = []
    judged = schema.is_struct
    for at, field in enumerate(schema if schema.is_struct else ()):
        test = _test(field, at, names)
        if test is None:
            judged = False
        else:
            body += [f"v = o.{field.name}", f"if {test}: return False"]
    indent = "\n        "
    source = (
        f"def clean(outputs):\n    for o in outputs:{indent}if type(o) is not cls: return False"
        + "".join(indent + line for line in body)
        + "\n    return True\n"
    )
    exec(source, names)  # field names are identifiers: they are attributes of the class
    return names["clean"], judged


def _test(field: FieldSchema, at: int, names: dict[str, Any]) -> str | None:
    """An expression over `v` that is true when the value is wrong; None when that takes more than one."""
    wrong = _wrong_type(field, at, names)
    if wrong is None:
        return None
    for name, value in field.marks.constraints:
        if name in _BOUNDS:
            wrong += f" or not v {_BOUNDS[name]} {value!r}"
        else:
            return None
    return f"v is not None and ({wrong})" if field.nullable else wrong


def _wrong_type(field: FieldSchema, at: int, names: dict[str, Any]) -> str | None:
    if field.kind == "float":
        finite = "v == v and v - v != 0.0" if field.nullable else "v - v != 0.0"  # a null may be NaN
        return f"(type(v) is not int if type(v) is not float else {finite})"
    if field.kind == "int":
        return f"type(v) is not int or not {INT64_MIN} <= v <= {INT64_MAX}"
    if field.kind in ("bool", "str"):
        return f"type(v) is not {field.kind}"
    if field.kind == "datetime":
        return "type(v) is not datetime or v.tzinfo is None"
    if field.kind == "date":
        return "type(v) is not date"
    if field.kind == "category":
        return _wrong_choice(field, at, names)
    return None


def _wrong_choice(field: FieldSchema, at: int, names: dict[str, Any]) -> str | None:
    if isinstance(field.bare, type) and issubclass(field.bare, enum.Enum):
        names[f"enum{at}"] = field.bare
        return f"type(v) is not enum{at}"
    if not all(type(choice) is str for choice in field.choices or ()):
        return None
    names[f"choices{at}"] = frozenset(field.choices or ())
    return f"type(v) is not str or v not in choices{at}"


def _problem(output: Any, field: FieldSchema) -> Problem | None:
    value = getattr(output, field.name)
    if isinstance(value, float) and not math.isfinite(value):
        fits = field.nullable and math.isnan(value)
    else:
        fits = _fits(value, field)
    if fits:
        return None
    got = str(value) if isinstance(value, float) else _of_kind(value)
    return {"field": field.wire, "got": got if field.marks.log else "(hidden)", "expected": field.expected}


#: A value of another type may read the same in JSON, as a date does in a text; it is wrong all the same.
_EXACT: dict[str, type] = {
    "int": int,
    "bool": bool,
    "str": str,
    "datetime": datetime.datetime,
    "date": datetime.date,
}


def _fits(value: Any, field: FieldSchema) -> bool:
    if value is not None and type(value) is not _EXACT.get(field.kind, type(value)):
        return False
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=field.hint)
    except Exception:
        return False
    return True


def _of_kind(value: Any) -> Any:
    """A value that JSON has, else what it is."""
    if value is None or isinstance(value, (str, bool, int)):
        return shown(value)
    return f"a {type(value).__qualname__}"


def _quoted(got: Any) -> str:
    return (
        got if isinstance(got, str) and got in ("nan", "inf", "-inf") else msgspec.json.encode(got).decode()
    )


def _native(value: Any, field: FieldSchema) -> Any:
    library = type(value).__module__.partition(".")[0]
    if library == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    if library == "pandas":
        if hasattr(value, "to_pydatetime"):
            return None if value != value else value.to_pydatetime()
        return None if type(value).__name__ == "NAType" else value
    if field.kind == "list" and isinstance(value, list):
        plain = [v.tolist() if hasattr(v, "tolist") else v for v in value]
        return plain if any(new is not old for new, old in zip(plain, value, strict=True)) else value
    if field.kind == "decimal" and isinstance(value, int) and not isinstance(value, bool):
        return decimal.Decimal(value)
    return value


def _encode_pydantic(outputs: Sequence[Any]) -> bytes:
    return b"".join(output.model_dump_json(by_alias=True).encode() + b"\n" for output in outputs)
