"""`serve-api --load-test`: this project's API on a port of its own, measured from the same machine.

    workers and bridge -> ready -> rows of the model's sample -> `ds-bridge load`, a JSON line a stage -> Stage

The sender shares the processors with the server. So the server's processor time for one request is measured beside the rates, and
a stage in which the sender was late is void: its latencies are the sender's own.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrunner import bridge as bridges
from pyrunner import local
from pyrunner.bridge import Bridge, Unavailable
from pyrunner.errors import UserError
from pyrunner.program.models import Command
from pyrunner.project import Project

if TYPE_CHECKING:
    from http.client import HTTPResponse

LOOK_SECONDS = 0.05  # between looks whether the API is ready
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


@dataclass(frozen=True)
class Request:
    """What is measured, and how."""

    command: Command
    model: str | None = None
    workers: int | None = None
    rows: Path | None = None
    seconds: float = 45  # of all stages
    connections: int = 64  # of stages with many clients


@dataclass(frozen=True)
class Stage:
    """What came of one stage. Rates are a second, times milliseconds, of answers of status 200."""

    name: str
    connections: int
    asked: float  # requests that were due; 0 in a closed loop, where each client asks when it is answered
    rate: float
    requests: int
    statuses: dict[str, int]
    failed: int
    why: str
    unsent: int  # due, and not sent before the end, since all connections waited; times leave them out
    p50_ms: float
    p99_ms: float
    late_ms: float
    void: bool
    server_cpu_us: float | None  # of bridge and workers, a request; None where the system does not tell

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run(
    project: Project, request: Request, on_stage: Callable[[str], None] = lambda name: None
) -> list[Stage]:
    """Serve, measure, end. `on_stage` is told from another thread what is being done."""
    project.require_trained(request.model, verb="serve-api --load-test")
    specs = local.worker_specs(project, request.command, model=request.model, workers=request.workers)
    specs = [replace(spec, standby=0) for spec in specs]  # they answer nothing that is measured
    with tempfile.TemporaryDirectory(prefix="ds-runner-load-") as folder:
        state = Path(folder)
        options = bridges.Options(
            program=project.path,
            commands=[request.command.name],
            state=state,
            env=project.env,
            params=project.params,
            http="127.0.0.1:0",
            log_level="warn",
        )
        with bridges.running(options, log=state / "bridge.log") as child, ThreadPoolExecutor(1) as pool:
            own = local.Workers(
                project, specs, child.wire, options.token_file, fail_fast=True, log_level="critical"
            )
            measurement = _Measurement(project, request, child, state, on_stage)
            found = pool.submit(measurement.run)
            try:
                ended = local.run_beside(child, own)
            finally:
                measurement.stop()
            if ended.signalled:
                raise KeyboardInterrupt
            return found.result()


class _Measurement:
    """Asks the API of a bridge, on a thread of its own, and drains the bridge when it is done."""

    def __init__(
        self, project: Project, request: Request, child: Bridge, state: Path, on_stage: Callable[[str], None]
    ) -> None:
        self._request, self._child, self._state, self._on_stage = request, child, state, on_stage
        command = request.command
        self._base = f"{'https' if command.tls else 'http'}://{child.running.http}"
        self._tokens = project.folder / command.tokens if command.tokens else None
        self._stopped = threading.Event()
        self._sender: subprocess.Popen[str] | None = None

    def stop(self) -> None:
        """End it, from another thread. What was not measured is left out."""
        self._stopped.set()
        if self._sender is not None:
            self._sender.terminate()

    def run(self) -> list[Stage]:
        try:
            self._on_stage("loading the model")
            self._await_ready()
            return [] if self._stopped.is_set() else self._measure(self._rows())
        finally:
            self._child.drain()

    def _await_ready(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            try:
                self._get("/readyz").close()
                return
            except (urllib.error.URLError, OSError):
                continue

    def _rows(self) -> Path:
        """The file of rows to send: the user's, or the examples of the API's own description."""
        if self._request.rows is not None:
            return self._request.rows
        with self._get("/openapi.json") as answer:
            rows = json.load(answer)["components"]["schemas"]["Row"].get("examples")
        if not rows:
            raise UserError(
                "--load-test: the trained model keeps no rows that could be sent (it was trained without a history that has the "
                "events' fields, or they are kept out of logs). Name a file with an event a line: --rows FILE"
            )
        path = self._state / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    def _get(self, page: str) -> HTTPResponse:
        asked = urllib.request.Request(self._base + page)
        if self._tokens is not None:
            asked.add_header("Authorization", f"Bearer {_first_token(self._tokens)}")
        opened: HTTPResponse = urllib.request.urlopen(asked, timeout=10, context=_of_our_own())
        return opened

    def _measure(self, rows: Path) -> list[Stage]:
        command = [str(bridges.find_bridge()), "load", f"{self._base}/predict", "--rows", str(rows)]
        command += ["--length", f"{self._request.seconds:.3f}s"]
        command += ["--connections", str(self._request.connections)]
        if self._tokens is not None:
            command += ["--token-file", str(self._tokens)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as sender:
            self._sender = sender
            if self._stopped.is_set():
                sender.terminate()
            assert sender.stdout is not None and sender.stderr is not None
            found = list(self._stages(sender.stdout, sender.pid))
            words = sender.stderr.read().strip()
        if sender.returncode and not self._stopped.is_set():
            raise (UserError if sender.returncode == bridges.USER_MISTAKE else Unavailable)(words)
        return found

    def _stages(self, lines: Iterator[str], sender: int) -> Iterator[Stage]:
        before: float | None = None
        for line in lines:
            said = json.loads(line)
            used = processor_seconds(os.getpid(), without={os.getpid(), sender})
            if said.get("begins"):
                self._on_stage(f"load: {said['stage']}")
                before = used
                continue
            requests = said["requests"]
            cost = (used - before) / requests * 1e6 if requests and used and before is not None else None
            yield Stage(
                name=said["stage"],
                connections=said["connections"],
                asked=said["asked"],
                rate=said["rate"],
                requests=requests,
                statuses=said["statuses"],
                failed=said["failed"],
                why=said.get("why", ""),
                unsent=said.get("unsent", 0),
                p50_ms=said["p50_ms"],
                p99_ms=said["p99_ms"],
                late_ms=said["late_ms"],
                void=said["void"],
                server_cpu_us=cost,
            )


def processor_seconds(pid: int, without: set[int]) -> float | None:
    """Processor time of a process and all below it, but those; None where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return None
    return sum(_own_seconds(p) for p in _family(pid) if p not in without)


def _family(pid: int) -> Iterator[int]:
    yield pid
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = listed.read_text().split()
        except OSError:  # a thread that has ended
            continue
        for child in children:
            yield from _family(int(child))


def _own_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS  # user and system time


def _first_token(path: Path) -> str:
    lines = (line.strip() for line in path.read_text().splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def _of_our_own() -> ssl.SSLContext:
    """For the server that we started ourselves: its certificate names its clients' host, not this one."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
