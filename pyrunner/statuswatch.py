"""Asking a running bridge for its status every so often, on a thread of its own: for the board of `up` and for progress."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError


class StatusWatch:
    """Within, `on_status` gets the status as METHODS.md's `status` tells it. It is called on the watch's thread.

    A bridge that does not answer for a moment (starting, ending, busy) is asked again the next time.
    """

    def __init__(
        self, bridge: str, token_file: Path, seconds: float, on_status: Callable[[dict[str, Any]], None]
    ) -> None:
        self._client, self._seconds, self._on_status = ControlClient(bridge, token_file), seconds, on_status
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status-watch", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            try:
                status = json.loads(self._client.call("status", deadline=2.0))
            except CallError:
                continue
            self._on_status(status)


def settled(command: dict[str, Any]) -> int:
    """Events of a command that have their fate."""
    return sum(int(command.get(fate, 0)) for fate in ("scored", "rejected", "dead"))
