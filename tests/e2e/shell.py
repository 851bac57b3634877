"""A newcomer's shell: runs commands in a folder with a bare PATH and shows what they printed when they fail."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


class Shell:
    url: str

    def __init__(self, folder: Path, *, path: str) -> None:
        self.folder = folder
        self._log = folder / "background.log"
        self._environment = {
            "PATH": path,
            "HOME": str(folder),
            "LANG": "C.UTF-8",
            **{
                name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "HTTP"))
            },
        }

    def cd(self, name: str) -> None:
        self.folder = self.folder / name

    def run(self, *command: str, code: int = 0, seconds: float = 300) -> Done:
        """Run to its end; the exit code must be as said."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert done.returncode == code, (
            f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
        return Done(done.stdout, done.stderr)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        return self._log.read_text()

    def wait_ready(self, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
        """Until /readyz answers 200."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert process.poll() is None, self.log()
            try:
                urllib.request.urlopen(f"{self.url}/readyz", timeout=30)
                return
            except (OSError, urllib.error.HTTPError):
                time.sleep(0.1)
        raise AssertionError(f"not ready in {seconds:g} s\n{self.log()}")

    def wait_for(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Until it holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not so in {seconds:g} s\n{self.log()}"
            time.sleep(0.1)

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """A file with one text replaced, put back afterwards."""
        file = self.folder / name
        before = file.read_text()
        assert old in before, f"{name} has no {old!r}"
        file.write_text(before.replace(old, new))
        try:
            yield
        finally:
            file.write_text(before)


def terminate(process: subprocess.Popen[bytes]) -> None:
    """End as Ctrl-C does, and wait."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
