"""One worker process, as its parent holds it: in a group of its own, with lifeline, reports and stack file."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from pyrunner.runtime.environment import worker_environment
from pyrunner.runtime.reports import ReportReader
from pyrunner.runtime.specs import WorkerSpec
from pyrunner.runtime.stacks import StackFile


class WorkerProcess:
    """Spawned by the constructor; `bury` after its death, exactly once. Nothing here blocks but `bury`, for a dead process."""

    def __init__(
        self, spec: WorkerSpec, slot: int, worker: str, arguments: Sequence[str], *, standby: bool = False
    ) -> None:
        self.worker = worker
        self.failure: str | None = None
        self.ready = False
        self.bridge: int | None = None  # the life of the bridge that it was ready for last
        self.bridge_at = 0.0  # since when
        self.cut_reason: str | None = None
        self.stack_asked = False
        self.talks = True  # until it has closed its end of the reports
        self.killed = False
        self._stack = StackFile()
        self._stack_fd: int | None = None
        self._reports = ReportReader()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pyrunner.runtime.worker", *_arguments(spec, slot, worker), *arguments,
             "--supervised", *(["--standby"] if standby else []), "--report-fd", str(self._reports.inherited), "--stack-fd", str(self._stack.descriptor)],
            stdin=subprocess.PIPE,
            stdout=2,  # what it prints is no result of ours
            pass_fds=(self._reports.inherited, self._stack.descriptor),
            env=worker_environment(spec.workers, spec.secrets, dict(os.environ)),
            process_group=0,
        )  # fmt: skip
        self._reports.started()
        self._death = _watch(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def descriptors(self) -> list[int]:
        """Readable when there is a report or the process has died; without pidfd the latter is found by looking."""
        return [self._reports.descriptor, *([] if self._death is None else [self._death])]

    def reports(self) -> list[dict[str, Any]]:
        reports, more = self._reports.read()
        for report in reports:
            self.ready = self.ready or report["kind"] == "ready"
            self._stack_fd = report.get("stack_fd", self._stack_fd)
            if (bridge := report.get("bridge", self.bridge)) != self.bridge:
                self.bridge, self.bridge_at = bridge, time.monotonic()
            self.failure = report.get("reason", self.failure) if report["kind"] == "failed" else self.failure
        self.talks = more
        return reports

    def has_died(self) -> bool:
        """Whether the process is a zombie by now. It is not reaped: its group keeps its number until it is buried."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def end(self) -> None:
        """Ask it to drain."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def call(self) -> None:
        """Tell a standby that the place of another is its own."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._process.stdin.fileno(), b"!")

    def ask_for_stack(self) -> bool:
        self.stack_asked = self._stack.ask(self.pid, self._stack_fd)
        return self.stack_asked

    def stack(self) -> str:
        return self._stack.read() if self.stack_asked else ""

    def kill_group(self) -> None:
        """The process and whatever it has forked."""
        self.killed = True
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self) -> int:
        """Kill what is left of the group, reap, close. Returns the exit status (negative for a signal)."""
        self.kill_group()
        self.reports()
        returncode = self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._reports.close()
        self._stack.close()
        if self._death is not None:
            os.close(self._death)
        return returncode


def wait_any(descriptors: Sequence[int], seconds: float) -> None:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    poll.poll(max(0.0, seconds) * 1000)


def _watch(pid: int) -> int | None:
    """A descriptor that becomes readable at death, where the system has one."""
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):
        return None


def _arguments(spec: WorkerSpec, slot: int, worker: str) -> list[str]:
    arguments = [
        "--program",
        str(spec.program),
        "--command",
        spec.command,
        "--slot",
        str(slot),
        "--worker",
        worker,
    ]
    arguments += ["--workers", str(spec.workers)]
    if spec.env is not None:
        arguments += ["--env", spec.env]
    if spec.model_ref is not None:
        arguments += ["--model", spec.model_ref]
    if spec.shadow:
        arguments += ["--shadow", spec.route]
    elif spec.route != spec.command:
        arguments += ["--route", spec.route]
    if spec.name:
        arguments += ["--known-as", spec.name]
    return [*arguments, *(part for param in spec.params for part in ("--param", param))]
