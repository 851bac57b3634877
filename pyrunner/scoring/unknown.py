"""Counts of fields that events have and their class does not name: the trace that a misspelt field leaves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from pyrunner.schema import EventSchema

_LOG = logging.getLogger("pyrunner.scoring")
_MOST_NAMES = 200  # keys can be data; the rest is counted together
_LONGEST_NAME = 100
OTHERS = "(others)"


class UnknownFields(dict[str, int]):
    """Name to number of events; one log line a name, with the nearest declared name.

    Exact while such events are rare. Where most events have them (a topic with more fields than the class needs)
    one event a batch is looked at, `sampled` is True, and the numbers are lower bounds. Several threads may note.
    """

    def __init__(self, schema: EventSchema) -> None:
        super().__init__()
        self.sampled = False
        self._schema = schema
        self._lock = threading.Lock()
        self._known = [field.wire for field in schema]

    def note(self, names: Iterable[str], n: int = 1) -> None:
        """Count each name once, or for each of n events: they are those of one event."""
        for name in names:
            shown = name[:_LONGEST_NAME]
            with self._lock:
                if shown not in self and len(self) >= _MOST_NAMES:
                    shown = OTHERS
                new = shown not in self
                self[shown] = self.get(shown, 0) + n
            if new:
                _LOG.warning("%s", self.sentence(shown))

    def nearest(self, name: str) -> str | None:
        """The declared name that it may have been meant for."""
        from pyrunner.program.words import nearest

        return nearest(name, self._known)

    def sentences(self) -> list[str]:
        """One for each name, with the number of events."""
        least = "at least " if self.sampled else ""
        return [
            f"{self.sentence(name)} ({least}{count:,} event{'s' if count > 1 else ''})"
            for name, count in self.items()
        ]

    def sentence(self, name: str) -> str:
        """`Departure has no field "dep_dely", it is skipped. Did you mean dep_delay?`"""
        text = f'{self._schema.name} has no field "{name}", it is skipped.'
        near = self.nearest(name)
        return f"{text} Did you mean {near}?" if near else text
