"""Nothing outlives this process: whatever it starts is also known to a reaper that waits for its death.

A server that is told to die with its parent by prctl dies with the parent's *thread*, stays when it changes its user,
and leaves its data behind. So a second process (reaper.py) holds the other end of a pipe and the list of what to undo.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import reaper

# The child tells its own number before it becomes the server, and holds the pipe until then: at no moment can the parent
# die and leave a server that the reaper has not heard of. The pipe is its standard input, replaced on the way.
_INTRODUCE = 'echo "group $$" >&0; exec "$@" </dev/null'


class Leash:
    """The reaper of this process, started at first use. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reaper: subprocess.Popen[bytes] | None = None

    def spawn(
        self,
        command: Sequence[str],
        log: Path,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Starts `command` as the leader of its own group, its output at the end of `log`."""
        with log.open("ab") as out:
            return subprocess.Popen(
                ["/bin/sh", "-c", _INTRODUCE, "sh", *command],
                stdin=self._pipe(),
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                cwd=log.parent,
                env={**os.environ, **(env or {})},
            )

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """Kills the group and everything below, and waits for it."""
        reaper.end_tree(process.pid)
        self.ended(process)

    def ended(self, process: subprocess.Popen[bytes]) -> None:
        """Waits for `process` and forgets its number, which the system may now give to somebody else."""
        process.wait()
        self.forget("group", str(process.pid))

    def folder(self, prefix: str) -> Path:
        """A new folder that is removed at the end."""
        path = Path(tempfile.mkdtemp(prefix=prefix))
        self.hold("folder", str(path))
        return path

    def hold(self, kind: str, what: str) -> None:
        self._say(f"{kind} {what}")

    def forget(self, kind: str, what: str) -> None:
        self._say(f"forget {kind} {what}")

    def close(self) -> None:
        """Has everything undone that is still held, and waits for it."""
        with self._lock:
            if self._reaper and self._reaper.stdin:
                self._reaper.stdin.close()
                self._reaper.wait()
                self._reaper = None

    def _say(self, line: str) -> None:
        os.write(
            self._pipe(), f"{line}\n".encode()
        )  # shorter than PIPE_BUF: lines of several threads do not mix

    def _pipe(self) -> int:
        with self._lock:
            if self._reaper is None:
                self._reaper = subprocess.Popen(
                    [sys.executable, reaper.__file__], stdin=subprocess.PIPE, start_new_session=True
                )
                atexit.register(self.close)
            assert self._reaper.stdin
            return self._reaper.stdin.fileno()


LEASH = Leash()
