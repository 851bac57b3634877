"""What the command line asks for, read: parts, and how often."""

from __future__ import annotations

from collections.abc import Sequence

from pyrunner.audit.parts import KILLABLE, STOPPABLE
from pyrunner.errors import UserError
from pyrunner.program.words import unknown

_MOST = 10_000


def deeds_of(kill: str | None, stop: str | None, pause: str | None, times: str) -> list[tuple[str, str]]:
    """(verb, part), each as often as it is to happen."""
    wanted = [
        *(("kill", part) for part in _parts("--kill", kill, KILLABLE)),
        *(("stop", part) for part in _parts("--stop", stop, STOPPABLE)),
        *(("pause", part) for part in _parts("--pause", pause, STOPPABLE)),
    ]
    counts = _times(times, [part for _, part in wanted])
    return [deed for deed in wanted for _ in range(counts[deed[1]])]


def _parts(option: str, text: str | None, known: Sequence[str]) -> list[str]:
    parts = [part.strip() for part in (text or "").split(",") if part.strip()]
    for part in parts:
        if part not in known:
            raise UserError(f"audit: {option}: {unknown('no part', part, known)}")
    return list(dict.fromkeys(parts))


def _times(text: str, parts: Sequence[str]) -> dict[str, int]:
    if "=" not in text:
        return dict.fromkeys(parts, _count(text))
    counts = {}
    for pair in text.split(","):
        part, _, number = pair.strip().partition("=")
        if part not in parts:
            raise UserError(f"audit: --times {pair.strip()}: {unknown('nothing is done to', part, parts)}")
        counts[part] = _count(number)
    for part in parts:
        if part not in counts:
            raise UserError(f"audit: --times {text}: says nothing of {part}. Add {part}=N")
    return counts


def _count(text: str) -> int:
    if not text.strip().isdecimal() or not 0 <= int(text) <= _MOST:
        raise UserError(f"audit: --times {text}: write a number up to {_MOST:,}, or bridge=50,worker=50")
    return int(text)
