"""A pod on this machine whose parts can be killed: one bridge, and one runner with workers.

It uses only what a user has: the `ds-bridge` binary, `ds-runner score-stream` and the control client. A bridge that was killed
is started again on the same port with the same state folder, as a kubelet does; the runner is left to find it. Everything that
a pod starts is ended by `close`, by process id.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyrunner.bridge import Unavailable, die_with_parent, find_bridge, last_words
from pyrunner.client.control import ControlClient

PATIENCE = 60.0  # seconds for a part to end when it is asked to
_PORTS = range(15_000, 32_000)


def free_port() -> int:
    """A port of loopback that nobody listens on, below those that the system gives to clients: while the bridge is down for its
    restart, no connection of somebody else gets it."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no free port among 200 of {_PORTS.start} to {_PORTS.stop}")


class Pod:
    """One bridge and one runner in a folder that holds program.yaml. For one thread; it may be asked things from others."""

    def __init__(
        self,
        folder: Path,
        *,
        commands: Sequence[str] = ("score-stream",),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.commands = commands
        self.port = free_port()
        self.environment = dict(os.environ) | dict(environment or {})
        self.token = folder / "token"
        self.token.write_text(os.urandom(16).hex() + "\n")
        self.token.chmod(0o600)
        self.bridge: subprocess.Popen[bytes] | None = None
        self.runner: subprocess.Popen[bytes] | None = None
        self._logs = (folder / "bridge.log").open("ab"), (folder / "runner.log").open("ab")

    # -- the parts -----------------------------------------------------------------------------------------------

    def start_bridge(self, **environment: str) -> None:
        """Returns at once: `await_bridge` waits for it."""
        command = [
            str(find_bridge()), "run", "--program", "program.yaml", *(f"--command={name}" for name in self.commands),
            "--listen", f"tcp://127.0.0.1:{self.port}", "--token-file", str(self.token),
            "--state", "state", "--log-format", "json",
        ]  # fmt: skip
        (self.folder / "state" / "bridge.json").unlink(missing_ok=True)  # a killed one's
        self.bridge = self._spawn(command, 0, environment)

    def bridge_is_up(self) -> bool:
        """Whether it has said that it is ready."""
        return (self.folder / "state" / "bridge.json").exists()

    def await_bridge(self, seconds: float = PATIENCE) -> None:
        """Until it is there, so that the first events are published under their own ids."""
        deadline = time.monotonic() + seconds
        while not self.bridge_is_up():
            if self.bridge is not None and self.bridge.poll() is not None:
                raise Unavailable(
                    f"the bridge ended with exit code {self.bridge.returncode}. {self.words('bridge')}"
                )
            if time.monotonic() > deadline:
                raise Unavailable(f"the bridge was not ready after {seconds:g} s. {self.words('bridge')}")
            time.sleep(0.02)

    def start_runner(self, *, port: int | None = None, command_name: str = "score-stream") -> None:
        """The parent and its workers; on another port when something stands between them and the bridge."""
        self.await_bridge()
        command = [
            sys.executable, "-m", "pyrunner.cli", "score-stream", "--command", command_name,
            "--bridge", f"tcp://127.0.0.1:{port or self.port}", "--token-file", str(self.token),
        ]  # fmt: skip
        self.runner = self._spawn(command, 1, {})

    def kill_bridge(self, **environment: str) -> None:
        """SIGKILL, then a new one on the same port and state."""
        assert self.bridge is not None
        self.bridge.kill()
        self.bridge.wait()
        self.start_bridge(**environment)

    def stop_bridge(self) -> None:
        """SIGTERM, as a pod ends: it has to end in order."""
        self._stop(self.bridge, "bridge")

    def stop_runner(self) -> None:
        """SIGTERM, as a pod ends: it has to end in order."""
        self._stop(self.runner, "runner")

    def kill_worker(self, rng: random.Random) -> bool:
        """SIGKILL one worker of the runner; False when none lives at this moment."""
        workers = self.workers()
        if not workers:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(rng.choice(workers), signal.SIGKILL)
        return True

    def workers(self) -> list[int]:
        """The process ids of the runner's workers, from /proc."""
        assert self.runner is not None
        children = Path(f"/proc/{self.runner.pid}/task/{self.runner.pid}/children")
        found = []
        with contextlib.suppress(OSError):  # the runner has ended
            for pid in map(int, children.read_text().split()):
                with contextlib.suppress(OSError):
                    if b"pyrunner.runtime.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        found.append(pid)
        return found

    def close(self) -> None:
        """End what was started, in order where that is possible."""
        for process in (self.runner, self.bridge):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)  # somebody may have been interrupted while it was stopped
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for log in self._logs:
            log.close()

    # -- what it says --------------------------------------------------------------------------------------------

    def control(self) -> ControlClient:
        """A client of the bridge: as often as it is started, the same address."""
        return ControlClient(f"tcp://127.0.0.1:{self.port}", self.token)

    def call(self, method: str, *arguments: object, seconds: float = PATIENCE) -> Any:
        """A control call that is tried again until the bridge is there."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.control() as client:
                    return client.call(method, *arguments, deadline=30.0)
            except (OSError, EOFError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise Unavailable(f"{method}: the bridge did not answer: {error}") from error
                time.sleep(0.05)

    def log(self, name: str) -> str:
        """What the bridge or the runner has logged."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def words(self, name: str) -> str:
        """The last lines of a log, as a person reads them."""
        return f"It said:\n{last_words(self.folder / f'{name}.log')}"

    def _spawn(
        self, command: Sequence[str], log: int, environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=self._logs[log],
            stderr=self._logs[log],
            process_group=0,  # Ctrl-C comes to us, who end them in order
            preexec_fn=_ends_with_us(),
        )

    def _stop(self, process: subprocess.Popen[bytes] | None, name: str) -> None:
        assert process is not None
        process.terminate()
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Disorderly(
                f"the {name} did not end within {PATIENCE:g} s of SIGTERM. {self.words(name)}"
            ) from None
        if code != 0:
            raise Disorderly(f"the {name} ended with exit code {code} after SIGTERM. {self.words(name)}")


class Disorderly(AssertionError):
    """A part did not end in order when it was asked to."""


def _ends_with_us() -> Callable[[], None] | None:
    """Linux ends such a child with the thread that started it, so only the main thread's get the hook."""
    return die_with_parent() if threading.current_thread() is threading.main_thread() else None
