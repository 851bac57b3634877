"""Users' exceptions in the log: each distinct one once in a while, with its traceback and how to reproduce it; all counted."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

_REMEMBERED = 256
_EVERY = 60.0  # seconds between two lines of the same error


class Mishaps:
    """Says when an error is worth a line: at first, and then once a minute with the number since.

    The command that reproduces it is told where events are `kept`.
    """

    def __init__(self, log: Any, kept: bool = True) -> None:
        self._log, self._kept = log, kept
        self._seen: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()

    def note(self, event_id: str, code: str, reason: str, trace: str | None, now: float) -> bool:
        """Log one failed event unless the same error was logged a moment ago. Returns whether it was."""
        key = (code, (trace or reason).splitlines()[-1] if trace or reason else "")
        since, count = self._seen.pop(key, (now - _EVERY, 0))
        if now - since < _EVERY:
            self._remember(key, since, count + 1)
            return False
        self._remember(key, now, 0)
        values: dict[str, Any] = {"event_id": event_id}
        if self._kept:
            values["reproduce"] = reproduce(event_id)
        values |= {"code": code, "reason": reason}
        if trace:
            values["traceback"] = trace
        if count:
            values["repeated"] = count
        self._log.warning("event failed", **values)
        return True

    def _remember(self, key: tuple[str, str], since: float, count: int) -> None:
        self._seen[key] = (since, count)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)


def reproduce(event_id: str) -> str:
    """The command that runs this event alone, under the debugger."""
    return f"ds-runner replay --only {event_id} --pdb"
