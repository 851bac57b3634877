"""Taking a tape off a bridge that runs: `record.open`, and `record.next` until there is nothing more."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from pyrunner.client.control import ControlClient
from pyrunner.errors import UserError

WAIT_MS = 300  # how long one call waits; so late is a Ctrl-C heard
SECONDS = 10.0


class Count(NamedTuple):
    """What was recorded so far."""

    batches: int = 0
    events: int = 0
    fates: int = 0
    dropped_batches: int = 0
    dropped_events: int = 0


def create(path: Path) -> BinaryIO:
    """A new file for a tape, which its owner alone may read: payloads are on it."""
    try:
        return os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb")
    except FileExistsError:
        raise UserError(f"record: {path} is there already. Give another name, or remove it") from None
    except FileNotFoundError:
        raise UserError(f"record: no folder {path.parent}") from None


class Recorder:
    """One recording. `run` writes it to its end, which comes when `enough` says so."""

    def __init__(
        self, client: ControlClient, stream: str, command: str = "", *, lookups: bool = True
    ) -> None:
        self._client = client
        self._number, self.command = client.call("record.open", stream, command, lookups, 0, deadline=SECONDS)
        self.count = Count()

    def run(self, to: BinaryIO, enough: Callable[[Count], bool]) -> Count:
        """Write the tape. `enough` is asked at least three times a second; then the last fates are waited for, for up to two seconds."""
        stopped = done = False
        while not done:
            if not stopped and enough(self.count):
                self._client.call("record.stop", self._number, deadline=SECONDS)
                stopped = True
            data, *counts, done = self._client.call("record.next", self._number, WAIT_MS, deadline=SECONDS)
            self.count = Count(*counts)
            to.write(data)
            to.flush()
        return self.count
