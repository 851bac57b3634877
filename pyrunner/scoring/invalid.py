"""What is wrong with a payload: all its problems, each as field, what came, and what was expected."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from pyrunner.schema import EventSchema, FieldSchema
from pyrunner.scoring.failures import FAIL, Failure

_PATH = re.compile(r" - at `\$(.*)`$")
_MOST = 20  # problems told of one event
_SHOWN = 100  # characters of a value

Problem = dict[str, Any]


def invalid_event(schema: EventSchema, payload: Any, error: Exception, meant: dict[str, str]) -> Failure:
    """The failure of a payload that `error` came of. `meant`: unknown names in it by the declared name that is near."""
    problems = _problems(schema, payload, error)
    for problem in problems:
        if problem["got"] == MISSING and problem["field"] in meant:
            problem["expected"] += f' ("{meant[problem["field"]]}" is unknown: is it meant for this field?)'
    return Failure(FAIL, "invalid_event", sentence(problems), msgspec.json.encode(problems))


MISSING = "nothing"


def sentence(problems: list[Problem]) -> str:
    """`dep_delay: got "twelve", expected number or null; ...`"""
    return "; ".join(
        f"{p['field'] or 'event'}: got {_quoted(p['got'])}, expected {p['expected']}" for p in problems
    )


def _quoted(got: Any) -> str:
    return MISSING if got == MISSING else msgspec.json.encode(got).decode()


def _problems(schema: EventSchema, payload: Any, error: Exception) -> list[Problem]:
    try:
        value = msgspec.json.decode(payload)
    except Exception as malformed:
        got = _start(payload) if all(field.marks.log for field in schema) else "(hidden)"
        return [_whole(got, f"one JSON object ({_first_line(malformed)})")]
    if not isinstance(value, dict):
        return [_whole(shown(value), "object")]
    if not schema.is_struct:
        return _pydantic_problems(error) or [_whole("an object", _first_line(error))]
    found = [p for field in schema if (p := _field_problem(field, value)) is not None]
    return found[:_MOST] or [_unexplained(error)]


def _whole(got: Any, expected: str) -> Problem:
    return {"field": "", "got": got, "expected": expected}


def _field_problem(field: FieldSchema, value: dict[str, Any]) -> Problem | None:
    if field.wire not in value:
        return _problem(field, "", MISSING, field.expected) if field.required else None
    got = value[field.wire]
    try:
        msgspec.json.decode(msgspec.json.encode(got), type=field.hint)
    except Exception as e:
        path = _path(e)
        if not path:
            return _problem(field, "", shown(got), field.expected)
        return _problem(field, path, shown(_at(got, path)), _expectation(e))
    return None


def _problem(field: FieldSchema, path: str, got: Any, expected: str) -> Problem:
    if not field.marks.log and got != MISSING:
        got = "(hidden)"
    return {"field": field.wire + path, "got": got, "expected": expected}


def _path(error: Exception) -> str:
    found = _PATH.search(str(error))
    return found[1] if found else ""


def _expectation(error: Exception) -> str:
    """msgspec's own words in the words of JSON: "Expected `float`, got `str`" is "number"."""
    text = _PATH.sub("", _first_line(error))
    text = text.removeprefix("Expected ").partition(", got ")[0]
    for name, word in (
        ("`float`", "number"),
        ("`int`", "integer"),
        ("`str`", "string"),
        ("`bool`", "true or false"),
    ):
        text = text.replace(name, word)
    return text.replace("`", "")


def _at(value: Any, path: str) -> Any:
    """The value at a path of msgspec's (`.legs[0].distance`); the whole where the path is of keys."""
    for name, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", path):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            return value
    return value


def shown(value: Any) -> Any:
    """A JSON value as an error may carry it: scalars as they are, long texts cut, lists and objects by their kind."""
    if isinstance(value, str):
        value = value.encode("utf-8", "replace").decode()  # a lone surrogate cannot be sent
        return value if len(value) <= _SHOWN else value[:_SHOWN] + "..."
    if isinstance(value, dict):
        return "an object"
    return "a list" if isinstance(value, list) else value


def _unexplained(error: Exception) -> Problem:
    """No field by itself is wrong: the class's own check, or a type that only the whole shows."""
    path = _path(error)
    return {"field": path.lstrip("."), "got": "an event", "expected": _PATH.sub("", _first_line(error))}


def _pydantic_problems(error: Exception) -> list[Problem]:
    if not hasattr(error, "errors"):
        return []
    return [
        {
            "field": ".".join(map(str, e["loc"])),
            "got": MISSING if e["type"] == "missing" else shown(e["input"]),
            "expected": e["msg"],
        }
        for e in error.errors(include_url=False, include_context=False)[:_MOST]
    ]


def _start(payload: Any) -> str:
    return bytes(payload[:_SHOWN]).decode("utf-8", "replace") if payload else "nothing"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
