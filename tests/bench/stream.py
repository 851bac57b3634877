"""One stream run: a bridge takes events through one worker, and both are measured from outside.

The bridge reads from a memory stream that cycles `repeat` times over a file, and writes to a memory stream that only
counts, so that no broker is in the figures. CPU time is taken from the first tenth of the events to the last twentieth, when
both processes are warm.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrunner.bridge import find_bridge
from pyrunner.client.control import ControlClient

from .children import SINGLE
from .cpu import cpu_seconds, rss_mib
from .events import SCIENCE, payloads
from .server import ended

PRELOADED = 20_000
PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: bench}}
spec:
  model: bench_science:Scorer
  connections:
    source: {{url: "memory:", settings: {{{source}}}}}
    sink: {{url: "memory:", settings: {{discard: "true"}}}}
  streams:
    clicks: {{connection: source, topic: clicks}}
    scores: {{connection: sink, topic: scores}}
    dead: {{connection: sink, topic: dead}}
  commands:
    - {{name: score-stream, input: clicks, output: scores, dead_letter: dead, workers: 1, order: none}}
"""


@dataclass(frozen=True)
class Measured:
    """Both sides of one run: CPU us an event, events a second, resident memory."""

    events: int
    python_us: float
    bridge_us: float
    rate: float
    python_mib: float
    bridge_mib: float


def measure(events: int) -> Measured:
    """Stream so many events, a multiple of 20,000, from memory to memory, as fast as they go."""
    with StreamBench.cycling(events // PRELOADED) as bench:
        return bench.measured(events)


def measure_program(program: str, events: int) -> Measured:
    """The same for a program whose input holds so many events."""
    with StreamBench.of(program) as bench:
        return bench.measured(events)


class StreamBench:
    """A bridge and a runner with one worker, as processes of their own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self._log = log = stack.enter_context((folder / "log").open("wb"))
        self.bridge = subprocess.Popen(
            [find_bridge(), "run", "--program", "program.yaml", "--command", "score-stream",
             "--listen", "tcp://127.0.0.1:0", "--token-file", "token", "--state", "state"],
            cwd=folder, stdout=log, stderr=log,
        )  # fmt: skip
        stack.callback(ended, self.bridge)
        self._url = self._address(folder)
        self.control = stack.enter_context(ControlClient(self._url, folder / "token"))

    def start_runner(self) -> None:
        """One worker, under its parent."""
        self._runner = subprocess.Popen(
            [sys.executable, "-m", "pyrunner.cli", "score-stream", "--bridge", self._url, "--token-file", "token"],
            cwd=self.folder, env={**os.environ, **SINGLE}, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        self._stack.callback(ended, self._runner)

    @classmethod
    def cycling(cls, repeat: int) -> Any:
        return cls._started(f'preload: "events.jsonl", repeat: "{repeat}"')

    @classmethod
    def idle(cls) -> Any:
        return cls._started("")

    @classmethod
    def _started(cls, source: str) -> Any:
        return cls.of(PROGRAM.format(source=source))

    @classmethod
    @contextmanager
    def of(cls, program: str, *, workers: bool = True, science: str = SCIENCE) -> Iterator[StreamBench]:
        """Started for the one stream of a program whose model is bench_science:Scorer; the runner later where the caller wants."""
        with tempfile.TemporaryDirectory(prefix="ds-bench-") as name, ExitStack() as stack:
            folder = Path(name)
            (folder / "events.jsonl").write_bytes(b"\n".join(payloads(PRELOADED)) + b"\n")
            (folder / "bench_science.py").write_text(science)
            (folder / "program.yaml").write_text(program)
            (folder / "token").write_text("0123456789abcdef0123456789abcdef")
            (folder / "token").chmod(0o600)
            try:
                bench = cls(folder, stack)
                if workers:
                    bench.start_runner()
                yield bench
            except BaseException:
                print((folder / "log").read_text()[-4000:], file=sys.stderr)
                raise

    def measured(self, events: int) -> Measured:
        """From the first tenth of the events to the last twentieth; all of them have to be scored in the end."""
        self.settled(events // 10)
        worker, bridge = self.worker(), self.bridge.pid
        start = time.monotonic(), cpu_seconds(worker), cpu_seconds(bridge), self.status()["scored"]
        self.settled(events * 95 // 100)
        end = time.monotonic(), cpu_seconds(worker), cpu_seconds(bridge), self.status()["scored"]
        memory = rss_mib(worker), rss_mib(bridge)
        self.settled(events)
        assert self.status()["dead"] == 0
        n = end[3] - start[3]
        return Measured(
            events=n,
            python_us=(end[1] - start[1]) / n * 1e6,
            bridge_us=(end[2] - start[2]) / n * 1e6,
            rate=n / (end[0] - start[0]),
            python_mib=memory[0],
            bridge_mib=memory[1],
        )

    def status(self) -> dict[str, Any]:
        return json.loads(self.control.call("status"))["commands"]["score-stream"]  # type: ignore[no-any-return]

    def settled(self, events: int, seconds: float = 180) -> None:
        """Return when so many are scored."""
        deadline = time.monotonic() + seconds
        while (now := self.status())["scored"] < events:
            if time.monotonic() > deadline:
                raise RuntimeError(f"waiting for {events}: {now}")
            time.sleep(0.0 if events < PRELOADED else 0.02)

    def worker(self) -> int:
        """The worker's process id."""
        children = Path(f"/proc/{self._runner.pid}/task/{self._runner.pid}/children").read_text().split()
        (pid,) = (
            int(pid)
            for pid in children
            if b"pyrunner.runtime.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
        )
        return pid

    def _address(self, folder: Path) -> str:
        discovery = folder / "state" / "bridge.json"
        for _ in range(500):
            if discovery.exists():
                return str(json.loads(discovery.read_text())["wire"])
            if self.bridge.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError("the bridge did not come up")
