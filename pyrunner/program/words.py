"""The wording that all problems share: how a value is quoted, what is declared, which name is nearest.

`bridge_go/program/words.go` says the same; the vectors in tests/vectors/program compare the texts.
"""

from __future__ import annotations

from collections.abc import Iterable

_SHOWN = 40
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(text: str) -> str:
    """The text in double quotes, control characters escaped, cut after 40 characters."""
    cut = text[:_SHOWN]
    body = "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04x}" if c < " " or c == "\x7f" else c) for c in cut)
    return f'"{body}..."' if len(text) > _SHOWN else f'"{body}"'


def unknown(what: str, name: str, known: Iterable[str], label: str = "Declared") -> str:
    """`no stream "departure". Declared: departures, estimates. Did you mean departures?`"""
    names = list(known)
    text = f"{what} {quote(name)}. {label}: {', '.join(names) or 'none'}."
    near = nearest(name, names)
    return f"{text} Did you mean {near}?" if near else text


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that is closest in spelling, if one is close enough; of equals the first."""
    best, least = None, max(1, (len(word) + 1) // 3) + 1
    for name in names:
        steps = distance(word.lower(), name.lower())
        if steps < least:
            best, least = name, steps
    return best


def distance(a: str, b: str) -> int:
    """Optimal string alignment: insertions, deletions, replacements and swaps of neighbours."""
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            steps = min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                steps = min(steps, before[j - 2] + 1)
            row.append(steps)
        before, last = last, row
    return last[-1]
