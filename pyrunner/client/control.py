"""The command line's way to ask a running bridge: publish, tail, dead letters, status."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pyrunner.client.connection import Connection, Identity, LinkLost
from pyrunner.client.pending import CallError, Pending, TooLate, Unreachable
from pyrunner.protocol import Answer, PrefaceError, Role
from pyrunner.protocol.preface import read_token

_GRACE = 0.5  # the bridge keeps the deadline; this is for the way back


class ControlClient:
    """Calls to a bridge over one connection, which the first call opens. For one thread."""

    def __init__(self, bridge: str, token_file: Path) -> None:
        self._address = bridge
        self._token_file = token_file
        self._connection: Connection | None = None

    def call(self, method: str, *args: Any, deadline: float = 15.0) -> Any:
        """The answer to a call (bridge_go/control/METHODS.md lists them).

        Arguments and answer are msgpack without maps: None, bool, int, float, str, bytes and lists of these. Raises CallError;
        Unreachable, which is a ConnectionError too, when there is no bridge, and TooLate, which is a TimeoutError too.
        """
        try:
            connection = self._connected()
            number, data = connection.session.call(method, args, int(deadline * 1000))
            connection.send(data)
            return self._answer(connection, number, deadline)
        except CallError:
            raise
        except (OSError, PrefaceError, LinkLost) as error:
            self.close()
            raise Unreachable(f"{self._address}: {error}") from None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close(goodbye=True)
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self) -> Connection:
        if self._connection is None:
            token = read_token(self._token_file.read_bytes())
            self._connection = Connection.open(self._address, token, Role.CONTROL, Identity())
        return self._connection

    def _answer(self, connection: Connection, number: int, deadline: float) -> Any:
        until = time.monotonic() + deadline + _GRACE
        while (left := until - time.monotonic()) > 0:
            frame = connection.receive(left)
            if isinstance(frame, Answer) and frame.id == number:
                pending = Pending()
                pending.answer(frame)
                return pending.wait(0)
        self.close()  # the late answer must not be taken for the next call's
        raise TooLate(deadline)
