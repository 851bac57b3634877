"""What a model may answer for an event besides a result: `Reject`, `To`, and `Many` for frames."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Reject:
    """No result for this event, on purpose: `Reject("cancelled flight")`.

    A rejection is a fate of its own: counted by `code`, written to the rejected stream when there is one, never retried. With
    `retry=True` the event comes again later instead, for when the surroundings are not ready for it.
    """

    __slots__ = ("code", "reason", "retry")

    def __init__(self, reason: str, *, code: str = "rejected", retry: bool = False) -> None:
        self.reason = reason
        self.code = code
        self.retry = retry

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reject) and self._all == other._all

    def __hash__(self) -> int:
        return hash(self._all)

    def __repr__(self) -> str:
        return f"Reject({self.reason!r}, code={self.code!r}, retry={self.retry})"

    @property
    def _all(self) -> tuple[str, str, bool]:
        return self.reason, self.code, self.retry


class To:
    """A result for another stream than the command's own output: `To("alerts", Alert(...))`."""

    __slots__ = ("output", "stream")

    def __init__(self, stream: str, output: Any) -> None:
        self.stream = stream
        self.output = output

    def __eq__(self, other: object) -> bool:
        return isinstance(other, To) and (self.stream, self.output) == (other.stream, other.output)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"To({self.stream!r}, {self.output!r})"


class Many(Generic[T]):
    """`-> Many[pd.DataFrame]`: a row of the input may have 0..n rows of the answer, labelled by a non-decreasing index."""
