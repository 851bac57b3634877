"""Calls that wait for their answers."""

from __future__ import annotations

import threading
from typing import Any

from pyrunner.protocol import Answer
from pyrunner.protocol.codec import decode_value


class CallError(Exception):
    """The bridge, or the way to it, refused a call. `retry` says that the same call may succeed later."""

    def __init__(self, code: str, reason: str, retry: bool) -> None:
        super().__init__(f"{code}: {reason}" if reason else code)
        self.code = code
        self.reason = reason
        self.retry = retry


class Unreachable(CallError, ConnectionError):
    """There is no bridge, or the connection ended before the answer: the call may have been carried out, or not."""

    def __init__(self, reason: str) -> None:
        super().__init__("unreachable", reason, True)


class TooLate(CallError, TimeoutError):
    """No answer within the deadline: the call may have been carried out, or not."""

    def __init__(self, deadline: float) -> None:
        super().__init__("deadline", f"no answer within {deadline:g} s", True)


class Pending:
    """One call in flight: settled by one thread, awaited by another."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._value: Any = None
        self._error: CallError | None = None

    def answer(self, answer: Answer) -> None:
        value = decode_value(answer.value)
        if answer.ok:
            self._value = value
        else:
            self._error = CallError(*value)
        self._done.set()

    def fail(self, error: CallError) -> None:
        self._error = error
        self._done.set()

    def wait(self, timeout: float) -> Any:
        """The value. Raises CallError, also when the time is over."""
        if not self._done.wait(timeout):
            raise TooLate(timeout)
        if self._error is not None:
            raise self._error
        return self._value
