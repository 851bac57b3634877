"""A pod on this machine whose parts can be killed: one bridge, one runner with workers, one producer.

The rig uses only what a user has: the `ds-bridge` binary, `ds-runner score-stream`, and the control client. The bridge
is started again on the same port with the same state folder, as a kubelet would do; the runner is left to find it.
Everything that the rig starts is ended by `close`, by process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyrunner.bridge import find_bridge
from pyrunner.client.control import ControlClient

from .auditor import Ledger

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: rig}}
spec:
  model: rig_science:{model}
  connections:
    events: {{url: "embedded:"}}
  streams:
    numbers: {{connection: events, topic: numbers}}
    answers: {{connection: events, topic: answers}}
  commands:
    - {{name: score-stream, input: numbers, output: answers, workers: {workers}, deadline: {deadline}, order: {order}}}
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll a condition up to a deadline; say what was awaited when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


class Rig:
    """One pod in a folder. `science` is the text of the model file, `model` the class in it."""

    def __init__(
        self,
        folder: Path,
        science: str,
        *,
        model: str = "Double",
        workers: int = 2,
        deadline: str = "5s",
        order: str = "key",
        environment: dict[str, str] | None = None,
        program: str = PROGRAM,
        commands: Sequence[str] = ("score-stream",),
    ) -> None:
        self.folder = folder
        self.commands = commands
        self.port = free_port()
        self.environment = {**os.environ, "PYTHONPATH": str(folder), **(environment or {})}
        self.token = folder / "token"
        self.token.write_text("0123456789abcdef0123456789abcdef\n")
        self.token.chmod(0o600)
        (folder / "rig_science.py").write_text(science)
        (folder / "program.yaml").write_text(
            program.format(model=model, workers=workers, deadline=deadline, order=order)
        )
        self.bridge: subprocess.Popen[bytes] | None = None
        self.runner: subprocess.Popen[bytes] | None = None
        self.ledger = Ledger()
        self.poisons: set[int] = set()  # numbers that are planned to die
        self._after: dict[str, str] = {}
        self._logs = (folder / "bridge.log").open("ab"), (folder / "runner.log").open("ab")

    # -- the parts -----------------------------------------------------------------------------------------------

    def start_bridge(self) -> None:
        command = [
            str(find_bridge()), "run", "--program", "program.yaml", *(f"--command={name}" for name in self.commands),
            "--listen", f"tcp://127.0.0.1:{self.port}", "--token-file", str(self.token),
            "--state", "state", "--log-format", "json",
        ]  # fmt: skip
        (self.folder / "state" / "bridge.json").unlink(missing_ok=True)  # a killed one's
        self.bridge = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=self._logs[0], stderr=self._logs[0]
        )

    def await_bridge(self) -> None:
        """Until it is there, so that the first events are published under their own ids."""
        wait_until((self.folder / "state" / "bridge.json").exists, seconds=30, what="the bridge to be ready")

    def start_runner(self, *, port: int | None = None, command_name: str = "score-stream") -> None:
        """The parent and its workers; on another port when something stands between them and the bridge."""
        self.await_bridge()
        command = [
            sys.executable, "-m", "pyrunner.cli", "score-stream", "--command", command_name,
            "--bridge", f"tcp://127.0.0.1:{port or self.port}", "--token-file", str(self.token),
        ]  # fmt: skip
        self.runner = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=self._logs[1], stderr=self._logs[1]
        )

    def kill_bridge(self) -> None:
        """SIGKILL, then a new one on the same port and state."""
        assert self.bridge is not None
        self.bridge.kill()
        self.bridge.wait()
        self.start_bridge()

    def stop_bridge(self) -> None:
        """SIGTERM, as a pod ends: it has to end in order."""
        assert self.bridge is not None
        self.bridge.terminate()
        assert self.bridge.wait(30) == 0

    def stop_runner(self) -> None:
        """SIGTERM, as a pod ends: it has to end in order."""
        assert self.runner is not None
        self.runner.terminate()
        assert self.runner.wait(30) == 0

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
        for pid in map(int, children.read_text().split()):
            with contextlib.suppress(OSError):
                if b"pyrunner.runtime.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def close(self) -> None:
        for process in (self.runner, self.bridge):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGCONT)  # a test may have failed while it was stopped
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        for log in self._logs:
            log.close()
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    # -- events --------------------------------------------------------------------------------------------------

    def control(self) -> ControlClient:
        return ControlClient(f"tcp://127.0.0.1:{self.port}", self.token)

    def call(self, method: str, *arguments: object, seconds: float = 30.0) -> object:
        """A control call that is tried again until the bridge is there."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.control() as client:
                    return client.call(method, *arguments, deadline=10.0)
            except (OSError, EOFError, TimeoutError) as error:
                if time.monotonic() > deadline:
                    raise AssertionError(f"{method}: the bridge did not answer: {error}") from error
                time.sleep(0.05)

    def publish(self, events: Iterator[dict[str, object]], *, batch: int = 500) -> None:
        """Publish all, batch by batch. A batch whose answer was lost was attempted and is published again under
        new ids, so that acknowledged ids are known to be stored."""
        pending = list(events)
        for start in range(0, len(pending), batch):
            chunk = pending[start : start + batch]
            attempt = 0
            while True:
                ids = [f"{event['id']}" if attempt == 0 else f"r{attempt}.{event['id']}" for event in chunk]
                self.ledger.attempted.update(ids)
                self.ledger.poisons.update(
                    id for id, event in zip(ids, chunk, strict=True) if event["n"] in self.poisons
                )
                records = [
                    [json.dumps({**event, "id": id}).encode(), id.rsplit("-", 1)[0].encode()]
                    for event, id in zip(chunk, ids, strict=True)
                ]
                try:
                    with self.control() as client:
                        client.call("publish", "numbers", records, deadline=10.0)
                except (OSError, EOFError, TimeoutError):
                    attempt += 1
                    time.sleep(0.05)
                    continue
                self.ledger.acknowledged.update(ids)
                break

    def collect(self) -> Ledger:
        """Read on in the output and the dead letters, to their ends."""
        for value in self._values("answers"):
            answer = json.loads(value)
            self.ledger.results.append((answer["id"], answer["value"]))
        self.ledger.dead.extend(json.loads(value)["id"] for value in self._values("numbers.dead"))
        return self.ledger

    def _values(self, stream: str) -> Iterator[bytes]:
        while True:
            records, self._after[stream] = self.call("tail", stream, self._after.get(stream, ""), 5000, 0)  # type: ignore[misc]
            if not records:
                return
            yield from (record[4] for record in records)

    def status(self) -> dict[str, Any]:
        """What the bridge says of the command."""
        return json.loads(self.call("status"))["commands"]["score-stream"]  # type: ignore[arg-type, no-any-return]

    def metrics(self) -> str:
        """The bridge's metrics, as a scraper gets them."""
        found = json.loads((self.folder / "state" / "bridge.json").read_text())
        with urllib.request.urlopen(f"http://{found['metrics']}/metrics", timeout=10) as page:
            return str(page.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name with these labels among others."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in self.metrics().splitlines()
            if line.startswith((name + "{", name + " ")) and all(one in line for one in wanted)
        )

    def log(self, name: str) -> str:
        """What the bridge or the runner has logged."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def wait_settled(self, *, seconds: float) -> Ledger:
        """Wait until every acknowledged id has come out, or the time is over; the audit says what is missing.

        What comes twice comes soon after: the bridge is given the time to settle all that it has read.
        """
        deadline = time.monotonic() + seconds
        settled = {id for id, _ in self.ledger.results} | set(self.ledger.dead)
        while time.monotonic() < deadline:
            seen = len(self.ledger.results), len(self.ledger.dead)
            self.collect()
            settled.update(id for id, _ in self.ledger.results[seen[0] :])
            settled.update(self.ledger.dead[seen[1] :])
            if self.ledger.acknowledged <= settled and self.status()["unsettled"] == 0:
                break
            time.sleep(0.1)
        return self.collect()
