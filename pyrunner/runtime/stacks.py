"""The stack of a worker that hangs, dumped by the worker itself even while C code holds the interpreter.

`faulthandler.register(SIGUSR1)` writes from the signal handler, so it needs no bytecode to run (a timer armed for each batch
would cost 58 us, be replaced by user code, and fire after a SIGSTOP). It writes to a number: if user code closed that
descriptor and opened something else, the dump would go there. So the file is opened high, and the parent looks whether it
is still the same before it asks.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import tempfile
from pathlib import Path

from pyrunner.client.sockets import raise_descriptor

WAIT = 0.2  # seconds that a dump may take
_OURS = str(Path(__file__).resolve().parents[1])


class StackFile:
    """The parent's side: one anonymous file for each worker process."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="ds-runner-stack-")  # noqa: SIM115 - closed with the worker
        self.descriptor = self._file.fileno()

    def ask(self, pid: int, descriptor: int | None) -> bool:
        """Ask for a dump. False when the worker has not said where it writes, or no longer holds the file there."""
        if descriptor is None or not self._still_held(pid, descriptor):
            return False
        os.kill(pid, signal.SIGUSR1)
        return True

    def read(self) -> str:
        size = os.fstat(self.descriptor).st_size
        return os.pread(self.descriptor, min(size, 64 * 1024), 0).decode("utf-8", "replace")

    def close(self) -> None:
        self._file.close()

    def _still_held(self, pid: int, descriptor: int) -> bool:
        try:
            there, here = os.stat(f"/proc/{pid}/fd/{descriptor}"), os.fstat(self.descriptor)
        except FileNotFoundError:
            return not Path("/proc/self/fd").exists()  # a system without /proc: trust it
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)


def dump_on_request(inherited: int) -> int:
    """The worker's side: dump all threads to the inherited file on SIGUSR1. Returns the descriptor it keeps."""
    high = raise_descriptor(inherited)
    faulthandler.register(signal.SIGUSR1, file=high, all_threads=True, chain=False)
    return high


_FRAME = re.compile(r'^  File "(?P<file>.+)", line (?P<line>\d+) in (?P<name>.+)$')


def users_stack(dump: str) -> str:
    """The user's part of the thread that scores: innermost frame first, as faulthandler writes it, ours cut off."""
    threads = dump.split("\n\n")
    main = next((t for t in threads if "Current thread" in t), threads[-1])
    frames = []
    for line in main.splitlines():
        found = _FRAME.match(line)
        if found and found["file"].startswith(_OURS):
            break
        if found:
            frames.append(line.strip())
    return "\n".join(frames)
