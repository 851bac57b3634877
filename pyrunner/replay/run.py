"""One replay: a bridge of its own that reads the file, one worker over the real wire, a ledger of every event's fate.

The bridge's state is a temporary folder, so that a replay neither needs nor disturbs one that runs for the project.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyrunner import bridge as bridges
from pyrunner.bridge import Bridge, Options, Unavailable
from pyrunner.local import Workers, command_of, run_beside, worker_spec
from pyrunner.project import Project
from pyrunner.statuswatch import StatusWatch, settled

LOOK_SECONDS = 0.25  # between looks how far it is
END_SECONDS = 10.0  # between the last worker's goodbye and the bridge's end: a flush and a summary


@dataclass(frozen=True)
class Request:
    """What is replayed, where its ledger goes, which events of it, with which model."""

    file: Path
    ledger: Path
    only: tuple[str, ...] = ()
    model: str | None = None
    command: str = "score-stream"
    tape: bool = False
    speed: float = 0.0  # of a tape: 1 as it was recorded, 0 as fast as it goes
    threads: Mapping[str, str] = field(default_factory=dict)  # for numpy's libraries, by variable


@dataclass(frozen=True)
class Result:
    """What the bridge says in its summary."""

    events: int
    scored: int
    rejected: int
    dead: int
    seconds: float
    model: str
    unknown: tuple[str, ...] = ()  # fields that events had and the class has not, a sentence each
    lookups: int = 0  # calls of the model while it scored
    report: dict[str, Any] | None = None  # of a tape: what bridge_go/player found out besides the answers

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def run(
    project: Project, request: Request, on_settled: Callable[[int], None] = lambda events: None
) -> Result:
    """Replay a file and return when every event of it has its fate in the ledger.

    `on_settled` is told, now and then and from another thread, how many events have theirs.
    """
    command = command_of(project, "score-stream", request.command)
    version = project.require_trained(request.model, verb="replay")
    with tempfile.TemporaryDirectory(prefix="ds-runner-replay-") as folder:
        state = Path(folder)
        options = Options(
            program=project.path,
            commands=[command.name],
            state=state,
            env=project.env,
            params=project.params,
            input=None if request.tape else request.file.resolve().as_uri(),
            tape=request.file.resolve() if request.tape else None,
            speed=request.speed or None,
            ledger=request.ledger.resolve(),
            only=request.only,
            exit_at_end=True,
            summary=state / "summary.json",
        )
        with bridges.running(options, log=state / "bridge.log") as child:
            with (
                _environment(request.threads),
                StatusWatch(child.wire, options.token_file, LOOK_SECONDS, _told(command.name, on_settled)),
            ):
                unknown = _score(project, request, child, options)
            _await_end(child)
        return _result(state / "summary.json", version, unknown)


def _told(command: str, on_settled: Callable[[int], None]) -> Callable[[dict[str, Any]], None]:
    return lambda status: on_settled(settled(status["commands"].get(command, {})))


def _score(project: Project, request: Request, child: Bridge, options: Options) -> tuple[str, ...]:
    spec = worker_spec(project, project.program.command(request.command), model=request.model, workers=1)
    workers = Workers(project, [spec], child.wire, options.token_file, fail_fast=True, log_level="critical")
    if run_beside(child, workers).signalled:
        raise KeyboardInterrupt
    return tuple(workers.unknown)


def _await_end(child: Bridge) -> None:
    code = child.wait(END_SECONDS)
    if code:
        raise Unavailable(f"replay: ds-bridge ended with exit code {code}. {child.last_words()}".rstrip())


def _result(summary: Path, version: str, unknown: tuple[str, ...]) -> Result:
    said = json.loads(summary.read_bytes())
    return Result(
        events=said["events"],
        scored=said["scored"],
        rejected=said["rejected"],
        dead=said["dead"],
        seconds=said["seconds"],
        model=version,
        unknown=unknown,
        lookups=said.get("lookups", 0),
        report=said.get("replay"),
    )


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within, the workers that are started have these variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
