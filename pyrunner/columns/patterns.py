"""Which patterns mean the same to Python's `re` and to RE2, which the bridge has.

Only of texts of printable ASCII: the bridge leaves all others to the worker, since beyond them the two know other digits, letters and
ends of lines. What is not named here is not the same, or nobody has looked.
"""

from __future__ import annotations

import re
import re._constants as op  # type: ignore[import-not-found, unused-ignore]
import re._parser as parser  # type: ignore[import-not-found, unused-ignore]
from typing import Any

_ASCII = re.compile(r"[ -~]*")
_ESCAPE = re.compile(r"\\(.)")
_COUNT = re.compile(r"\{(?:0|[1-9][0-9]?)(?:,(?:0|[1-9][0-9]?)?)?\}")  # other braces are not read alike
_ODD = ("{", "[[", "[:", "(?#", "--", "&&", "||", "~~")
_LETTERS = "dDwWsSbA"  # escapes of letters that both have; \Z is only Python's, \z only RE2's

_ANYWHERE = {op.ANY, op.NEGATE, op.RANGE, op.CATEGORY}
_PLACES = {op.AT_BEGINNING, op.AT_BEGINNING_STRING, op.AT_END, op.AT_BOUNDARY}


def same_everywhere(pattern: str) -> bool:
    """Whether a text of printable ASCII matches by the bridge's rules exactly if `re.search` finds the pattern in it."""
    bare = _COUNT.sub("", _ESCAPE.sub("", pattern))
    if not _ASCII.fullmatch(pattern) or any(odd in bare for odd in _ODD):
        return False
    if any(letter.isalnum() and letter not in _LETTERS for letter in _ESCAPE.findall(pattern)):
        return False
    try:
        parsed = parser.parse(pattern)
    except re.error:
        return False
    return parsed.state.flags == re.UNICODE.value and _same(parsed, counted=False)


def _same(parsed: Any, counted: bool) -> bool:
    return all(_same_item(kind, said, counted) for kind, said in parsed)


def _same_item(kind: Any, said: Any, counted: bool) -> bool:
    if kind is op.LITERAL or kind is op.NOT_LITERAL:
        return bool(said >= ord(" "))  # [\b] is a backspace, and RE2 has none
    if kind is op.IN:
        return _same(said, counted)
    if kind in _ANYWHERE:
        return True
    if kind is op.AT:
        return said in _PLACES
    if kind is op.SUBPATTERN:
        _, added, taken, inner = said
        return not added and not taken and _same(inner, counted)
    if kind is op.BRANCH:
        return all(_same(arm, counted) for arm in said[1])
    if kind is op.MAX_REPEAT or kind is op.MIN_REPEAT:
        least, most, inner = said
        counts = least > 1 or most not in (1, op.MAXREPEAT)
        return not (counts and counted) and _same(
            inner, counts or counted
        )  # RE2 bounds what they multiply to
    return False
