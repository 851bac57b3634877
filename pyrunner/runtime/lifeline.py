"""A worker's end of the pipe from its parent: at its end when the parent is gone, and a byte on it when a standby is called."""

from __future__ import annotations

import os
import select


class Lifeline:
    """`look` reads what has come, without waiting; `closed` and `called` say what has been seen."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.closed = False
        self.called = False  # the place of another is this worker's now

    def fileno(self) -> int:
        return self._descriptor

    def look(self) -> None:
        while not self.closed and select.select([self._descriptor], [], [], 0)[0]:
            if os.read(self._descriptor, 64):
                self.called = True
            else:
                self.closed = True
