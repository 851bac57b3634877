"""A server as a child of this process."""

from __future__ import annotations

import abc
import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from .. import probes
from ..component import Component, ComponentError
from ..leash import LEASH
from ..ports import free_port
from ..reaper import remove_folder, signal_tree


class ProcessComponent(Component):
    """What all local servers share; each kind names its command and what must stand before it."""

    user: str | None = None
    stop_signal = signal.SIGTERM
    probe: probes.Probe

    def __init__(self) -> None:
        self.port = 0
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @abc.abstractmethod
    def command(self) -> Sequence[str]:
        """The server's command line, for `self.port` and `self.folder`."""

    def prepare(self) -> None:
        """Fills the empty `self.folder` before the first start."""

    def run_before(self, *command: str) -> None:
        """Runs a program that `prepare` needs, on the leash and into the log like the server itself."""
        process = LEASH.spawn(command, self._log_path(), self.user)
        LEASH.ended(process)
        if process.returncode:
            raise ComponentError(f"{self.name} cannot be set up. The end of its log:\n{self._tail()}")

    def after_start(self) -> None:
        """What needs the server up, once, before anybody uses it."""

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> Self:
        for attempt in range(3):
            self.port, self.folder = free_port(), LEASH.folder(f"ds-{self.name}-")
            try:
                self.prepare()
                self._launch()
                self.after_start()
                return self
            except ComponentError:
                # Somebody may have taken the port between the look and the start.
                in_use = "in use" in self.log()
                self.close()
                if not in_use or attempt == 2:
                    raise
        raise AssertionError("unreachable")

    def ready(self) -> bool:
        return type(self).probe(self.port)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        if not self._process:
            return
        self.resume()
        with contextlib.suppress(OSError):
            self._process.send_signal(self.stop_signal)
        try:
            self._process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ComponentError(f"{self.name} does not end on {self.stop_signal.name}: killed") from None
        self._end()

    def kill(self) -> None:
        self._end()

    def restart(self) -> None:
        self.stop()
        self._launch()

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        self._end()
        if self.folder != Path():
            _remove(self.folder)
            self.folder = Path()

    def log(self) -> str:
        path = self._log_path()
        return path.read_text(errors="replace") if path.exists() else ""

    def _launch(self) -> None:
        self._process = LEASH.spawn(self.command(), self._log_path(), self.user, self.environment())
        self.wait_ready()

    def _end(self) -> None:
        """After this nothing of it runs: of a server that ended in order, perhaps its children still do."""
        if self._process:
            LEASH.end(self._process)
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process:
            signal_tree(self._process.pid, number)

    def _log_path(self) -> Path:
        return self.folder / "log"


def _remove(folder: Path) -> None:
    remove_folder(str(folder))
    LEASH.forget("folder", str(folder))
