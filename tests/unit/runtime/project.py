"""A small program on disk whose model misbehaves on request, and a supervisor of its workers in a thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from structlog.testing import capture_logs

from pyrunner import logs
from pyrunner.runtime import Supervisor, WorkerEvent, WorkerSpec
from pyrunner.testing import FakeBridge

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: doubler}
spec:
  model: %(module)s:Doubler
  connections: {events: {url: "memory:"}}
  streams:
    numbers: {connection: events, topic: numbers}
    answers: {connection: events, topic: answers}
  commands:
    - {name: score-stream, input: numbers, output: answers}
"""

MODEL = '''\
"""Doubles numbers, and does what an event asks for."""

import ctypes
import os
import re
import sys
import threading
import time
from pathlib import Path

from pyrunner import Event, Model


class Number(Event):
    x: int
    do: str = ""


class Double(Event):
    y: int


class Doubler(Model[Number, Double]):
    def predict(self, events: list[Number]) -> list[Double]:
        return [self.one(e) for e in events]

    def one(self, e: Number) -> Double:
        if e.do:
            getattr(self, e.do)()
        return Double(y=2 * e.x)

    def segfault(self):
        ctypes.string_at(0)

    def leave(self):
        os._exit(7)

    def boom(self):
        raise ValueError("boom")

    def begun(self):
        Path(__file__).with_name("begun").touch()

    def hang(self):
        self.begun()
        while True:
            time.sleep(0.01)

    def hold(self):
        self.begun()
        re.match("(a+)+$", "a" * 60 + "b")  # in C for years, holding the interpreter's lock

    def print(self):
        print("x" * 10_000)
        sys.stdout.buffer.write(b"\\xff\\x00" * 5_000)
        sys.stdout.flush()
        os.write(1, b"raw\\n")
        assert sys.stdin.read() == ""

    def fork(self):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)

    def fork_and_leave(self):
        self.fork()
        os._exit(9)

    def threads(self):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

    def loop(self):
        import asyncio

        asyncio.run(asyncio.sleep(0))

    def close(self):
        os.closerange(3, 65536)

    def crowd(self):
        raise MemoryError("no room")
'''


@contextmanager
def project(folder: Path, model: str = MODEL) -> Iterator[Path]:
    """program.yaml of a new project."""
    (folder / "doubler_science.py").write_text(model)
    program = folder / "program.yaml"
    program.write_text(PROGRAM % {"module": "doubler_science"})
    yield program


class Running:
    """A supervisor on a thread, with what it told and logged."""

    def __init__(
        self, program: Path, bridge: FakeBridge, workers: int, more: Sequence[WorkerSpec] = (), **options: Any
    ) -> None:
        self.events: list[WorkerEvent] = []
        self.supervisor = Supervisor(
            [*([WorkerSpec(program, "score-stream", workers)] if workers else []), *more],
            bridge=bridge.address,
            token_file=bridge.token_file,
            log=logs.get(),
            on_event=self.events.append,
            **{"grace": 2.0} | options,
        )
        self.code: int | None = None
        self.lines: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with capture_logs() as self.lines:
            self.code = self.supervisor.run()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 60) -> int | None:
        self.supervisor.stop()
        self._thread.join(timeout)
        if self._thread.is_alive():
            self.supervisor.stop()
            self._thread.join(10)
        return self.code

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def logged(self, part: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if part in line["event"]]


@contextmanager
def running(program: Path, bridge: FakeBridge, workers: int = 1, **options: Any) -> Iterator[Running]:
    run = Running(program, bridge, workers, **options)
    run.start()
    try:
        yield run
    finally:
        run.stop()
