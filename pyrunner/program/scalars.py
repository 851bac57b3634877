"""What a plain scalar of YAML means here: the core schema of YAML 1.2, without what readers disagree about.

YAML 1.1 readers take `no` for false and `0644` for 420, those of 1.2 do not. A program.yaml is read by Python, by Go
and by a cluster, so such words are refused with what to write instead. `bridge_go/program/scalars.go` is the same table.
"""

from __future__ import annotations

import math
import re

from pyrunner.program.words import quote

Scalar = str | int | float | bool | None

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOL = {w: t for t, ws in (("true", ("yes", "on")), ("false", ("no", "off"))) for w in ws}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OLD_NUMBER = re.compile(
    r"[-+]?(0[0-9][0-9_]*|0[xXoObB][0-9a-fA-F_]+|[0-9]+(_[0-9]*)+(\.[0-9_]*)?|[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)"
)


class ScalarProblem(Exception):
    """A scalar that is refused: its code and its sentence."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


def plain(raw: str) -> Scalar:
    """The value of a scalar written without quotes. Raises ScalarProblem."""
    if raw in _NULL:
        return None
    if raw in _BOOL:
        return _BOOL[raw]
    if _is_old_bool(raw):
        means = _OLD_BOOL[raw.lower()]
        text = f"{raw} is a boolean to some readers of YAML and text to others. Write {means}, or {quote(raw)} for text"
        raise ScalarProblem("ambiguous", text)
    return _number(raw)


def _is_old_bool(raw: str) -> bool:
    return raw.lower() in _OLD_BOOL and raw in (raw.lower(), raw.upper(), raw.capitalize())


def _number(raw: str) -> Scalar:
    if _INT.fullmatch(raw):
        return _bounded(raw)
    if _OLD_NUMBER.fullmatch(raw):
        text = f"{raw} is not the same number to all readers of YAML. Write a plain decimal number, or {quote(raw)} for text"
        raise ScalarProblem("ambiguous", text)
    if _NOT_FINITE.fullmatch(raw):
        raise ScalarProblem("number", f"{raw} is not a finite number")
    if any(c.isdigit() for c in raw) and _FLOAT.fullmatch(raw):
        return _finite(raw)
    return raw


def _bounded(raw: str) -> int:
    if len(raw) > 20 or not -(2**63) <= (value := int(raw)) < 2**63:
        raise ScalarProblem("number", f"{raw[:40]} does not fit in 64 bits")
    return value


def _finite(raw: str) -> float:
    if not math.isfinite(value := float(raw)):
        raise ScalarProblem("number", f"{raw[:40]} is not a finite number")
    return value
