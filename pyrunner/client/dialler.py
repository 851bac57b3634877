"""Dialling until the connection stands: the start order of bridge and worker never matters."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pyrunner.client.connection import Connection, Identity, LinkLost
from pyrunner.protocol import PrefaceError, Role
from pyrunner.protocol.preface import read_token

_GOODBYE_SECONDS = 10.0  # a bridge that said goodbye ends, or starts anew: no news within that time


class Backoff:
    """Waits that double up to a limit, each between half and all of its step, so that many workers do not dial at once."""

    def __init__(self, first: float = 0.05, limit: float = 5.0, rng: random.Random | None = None) -> None:
        self._first, self._limit = first, limit
        self._step = first
        self._rng = rng or random.Random()

    def next(self) -> float:
        step, self._step = self._step, min(self._step * 2, self._limit)
        return step * (0.5 + self._rng.random() / 2)

    def reset(self) -> None:
        self._step = self._first


class Log(Protocol):
    """What is used of a structlog logger."""

    def info(self, event: str, **values: object) -> object: ...
    def warning(self, event: str, **values: object) -> object: ...


class Dialler:
    """Opens connections of one role. The token file is read each time: a bridge that starts anew may have a new one."""

    def __init__(self, address: str, token_file: Path, role: Role, identity: Identity, log: Log) -> None:
        self.address = address
        self.identity = identity
        self._token_file = token_file
        self._role = role
        self._log = log
        self._backoff = Backoff()
        self._told = ""
        self._quiet_until = 0.0

    def dial(self) -> Connection:
        """One attempt. Raises OSError, ValueError, PrefaceError or LinkLost."""
        token = read_token(self._token_file.read_bytes())
        return Connection.open(self.address, token, self._role, self.identity)

    def dial_until(self, pause: Callable[[float], bool]) -> Connection | None:
        """Attempts until one succeeds; None when `pause`, which waits so many seconds, says that it is to stop."""
        while True:
            try:
                connection = self.dial()
            except (OSError, ValueError, PrefaceError, LinkLost) as error:
                reason = str(error)
            else:
                self._stands()
                return connection
            if pause(self._backoff.next()):
                return None
            self._tell(reason)

    def settled(self) -> None:
        """The connection has proved useful: the next loss starts with a short wait again."""
        self._backoff.reset()

    def parted(self) -> None:
        """The bridge has said goodbye: that it cannot be reached is what it announced, for a while."""
        self._quiet_until = time.monotonic() + _GOODBYE_SECONDS

    def _stands(self) -> None:
        if self._told:
            self._log.info("bridge reached", bridge=self.address, role=self._role.name.lower())
        self._told = ""

    def _tell(self, reason: str) -> None:
        """One line for each new reason, not one for each attempt, and none for a wait that has ended or was announced."""
        if time.monotonic() < self._quiet_until:
            return
        if reason != self._told:
            self._log.warning(
                "bridge not reached, dialling on",
                bridge=self.address,
                role=self._role.name.lower(),
                reason=reason,
            )
        self._told = reason
