"""How calls get to a bridge: what `pyrunner.client.Calls` offers, and what stands in where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from pyrunner.protocol import Lease


class Begun(Protocol):
    """A call on its way."""

    def wait(self) -> Any:
        """The answer. Raises CallError."""
        ...


class Reach(Protocol):
    """Where calls go. Safe from any thread."""

    def begin(self, method: str, *args: Any, lease: Lease | None = None, deadline: float = 5.0) -> Begun:
        """Send a call and return before its answer. Raises CallError."""
        ...


class OnDemand:
    """A reach that is made when the first call needs it: most programs never ask. For one thread until then."""

    def __init__(self, make: Callable[[], Reach]) -> None:
        self._make = make
        self._made: Reach | None = None

    def begin(self, method: str, *args: Any, lease: Lease | None = None, deadline: float = 5.0) -> Begun:
        if self._made is None:
            self._made = self._make()
        return self._made.begin(method, *args, lease=lease, deadline=deadline)
