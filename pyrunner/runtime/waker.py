"""Wakes a thread that waits in poll: from a signal handler or from another thread."""

from __future__ import annotations

import contextlib
import os
import select
import signal

from pyrunner.client.sockets import raise_descriptor


class Waker:
    """A pipe whose reading end is polled. `set` may be called from signal handlers and threads; it never blocks."""

    def __init__(self) -> None:
        low_r, low_w = os.pipe()
        self._read, self._write = raise_descriptor(low_r), raise_descriptor(low_w)
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._made = os.fstat(self._read).st_ino

    def fileno(self) -> int:
        return self._read

    def intact(self) -> bool:
        """Whether the pipe is still there: user code may have closed every descriptor of the process."""
        try:
            return os.fstat(self._read).st_ino == self._made
        except OSError:
            return False

    def set(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it is set already
            os.write(self._write, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)

    def wait(self, seconds: float, *others: int) -> None:
        """Until set, another descriptor is readable, or the time is over."""
        poll = select.poll()
        for descriptor in (self._read, *others):
            poll.register(descriptor, select.POLLIN)
        poll.poll(seconds * 1000)

    def on_signals(self) -> None:
        """Wake at every signal that has a Python handler. Only on the main thread."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
