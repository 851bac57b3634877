"""What a call for data may end with."""

from __future__ import annotations


class DataError(Exception):
    """The bridge refused a call for data, or could not be asked. `str()` says what was asked and why it failed.

    `code` is from the table in bridge_go/calls/METHODS.md. `retry` says that the same call may succeed later: then it is nobody's
    fault, and a batch in which it rises from predict goes back as a whole and comes again.
    """

    def __init__(self, what: str, code: str, reason: str, *, retry: bool = False) -> None:
        super().__init__(f"{what}: {reason}" if reason else f"{what}: {code}")
        self.code = code
        self.reason = reason
        self.retry = retry
