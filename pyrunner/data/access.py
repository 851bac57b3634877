"""`Access`: what one call of a model's method may reach, and on whose behalf it asks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from pyrunner.data.errors import DataError
from pyrunner.data.reach import Begun, Reach
from pyrunner.data.writes import Writes, in_calls
from pyrunner.protocol import Lease

SQL = ("postgres", "postgresql", "sqlite")
HOW = (
    "has no bridge to ask here. In a test: run_model(model, events, sql=..., kv=...). In a notebook: "
    'with pyrunner.connect("program.yaml") as ctx: ...'
)


class Access:
    """Calls to a bridge under one lease, or under none. Safe from any thread, but for `writes`.

    `connections` are names and URL schemes of program.yaml, None where they are not known. With `writes` the model is
    predicting: what it writes waits there.
    """

    __slots__ = ("_moment", "connections", "lease", "reach", "writes")

    def __init__(
        self,
        reach: Reach | None,
        connections: Mapping[str, str] | None = None,
        *,
        lease: Lease | None = None,
        writes: Writes | None = None,
        moment: _Moment | None = None,
    ) -> None:
        self.reach = reach
        self.connections = connections
        self.lease = lease
        self.writes = writes
        self._moment = moment or _Moment()

    def under(self, lease: Lease | None, writes: Writes | None) -> Access:
        """The same for one batch."""
        return Access(self.reach, self.connections, lease=lease, writes=writes, moment=self._moment)

    def beside(self) -> Access:
        """The same for batches that are scored beside these: each has a time of its own."""
        return Access(self.reach, self.connections)

    def now(self, what: str) -> int:
        """Nanoseconds since 1970 UTC. Under a lease it is the bridge's time of the first who asks, and the same for the whole batch."""
        if self.lease is None or self.reach is None:
            return time.time_ns()
        if self._moment.lease != self.lease:
            self._moment.take(self.lease, self.ask(what, "clock", timeout=5.0))
        return self._moment.nanoseconds

    def ask(self, what: str, method: str, *args: Any, timeout: float) -> Any:
        """The bridge's answer. Raises DataError, which begins with `what`."""
        return self.begin(what, method, *args, timeout=timeout).wait()

    def begin(self, what: str, method: str, *args: Any, timeout: float) -> Asked:
        """The same without waiting."""
        if self.reach is None:
            raise DataError(what, "no_bridge", HOW)
        if timeout <= 0:
            raise ValueError(f"{what}: timeout={timeout:g} leaves no time. Give seconds above 0")
        try:
            return Asked(what, self.reach.begin(method, *args, lease=self.lease, deadline=timeout))
        except Exception as error:
            _translated(what, error)

    def require_now(self, what: str, instead: str) -> None:
        """Refuse what cannot be undone while the model predicts."""
        if self.writes is not None:
            raise DataError(
                what,
                "under_lease",
                f"is not for predict: an event may be scored more than once. {instead}",
            )

    def database(self, what: str, con: str | None) -> str:
        """The connection that is meant: the one named, else the program's only database."""
        if con is not None:
            return self.named(what, con)
        found = [name for name, scheme in (self.connections or {}).items() if scheme in SQL]
        if len(found) == 1:
            return found[0]
        known = f" The program's databases: {', '.join(found)}." if found else ""
        raise DataError(what, "bad_arguments", f"which connection? Write con=NAME.{known}")

    def named(self, what: str, con: str) -> str:
        """A connection that program.yaml has."""
        if self.connections is None or con in self.connections:
            return con
        from pyrunner.program.words import unknown

        text = unknown("program.yaml has no connection", con, list(self.connections), "It has")
        raise DataError(what, "unknown_connection", text)

    def stage(self, writes: Sequence[Any], *, timeout: float = 5.0) -> None:
        """Leave the writes of a batch with the bridge, which does them with the batch's result. Raises DataError."""
        for part in in_calls(writes):
            self.ask("the writes of predict", "stage", part, timeout=timeout)

    def apply(self, writes: Sequence[Any], *, timeout: float = 30.0) -> None:
        """Do the writes now: for events that are under no lease, such as the rows of a file."""
        from pyrunner.data.objects import upload

        for part in in_calls(writes):
            for method, args in _direct(part):
                if method == "objects.put":
                    con, ((key, data),) = args
                    upload(self, "the writes of predict", con, key, data, timeout)
                else:
                    self.ask("the writes of predict", method, *args, timeout=timeout)


class _Moment:
    """When a batch is scored; shared by all that ask on behalf of one scorer."""

    __slots__ = ("lease", "nanoseconds")

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.nanoseconds = 0

    def take(self, lease: Lease, nanoseconds: int) -> None:
        self.lease, self.nanoseconds = lease, nanoseconds


class Asked:
    """A call on its way; waits once."""

    __slots__ = ("_begun", "_what")

    def __init__(self, what: str, begun: Begun) -> None:
        self._what = what
        self._begun = begun

    def wait(self) -> Any:
        try:
            return self._begun.wait()
        except Exception as error:
            _translated(self._what, error)


def _translated(what: str, error: Exception) -> NoReturn:
    """What the client says, as a model's author reads it; anything else rises as it is."""
    from pyrunner.client import CallError

    if not isinstance(error, CallError):
        raise error
    raise DataError(what, error.code, error.reason, retry=error.retry) from None


def _direct(writes: Sequence[Any]) -> list[tuple[str, list[Any]]]:
    """Staged writes as calls, neighbours of one kind and place together."""
    calls: list[tuple[str, list[Any]]] = []
    for kind, place, *rest in writes:
        item: Any = rest[0] if kind == "kv.delete" else rest
        if calls and kind != "objects.put" and calls[-1][0] == kind and calls[-1][1][0] == place:
            calls[-1][1][1].append(item)
        else:
            calls.append((kind, [place, [item]]))
    return calls
