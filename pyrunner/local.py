"""A bridge and its workers on this machine: what `score-stream`, `serve-api`, `up` and `replay` have in common.

    project -> worker_specs() -> serve(): start a bridge unless one is given -> Supervisor.run() on this thread -> stop the bridge

Ctrl-C and SIGTERM come to the supervisor, which says drain to the bridge and waits for its workers; the bridge is stopped
after it. If the bridge ends by itself the supervisor is told, so that nobody waits for a bridge that will not come back.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrunner import bridge as bridges
from pyrunner.bridge import Bridge, Options, Unavailable
from pyrunner.errors import UserError
from pyrunner.program.kinds import kind_of
from pyrunner.program.words import unknown
from pyrunner.project import Project

if TYPE_CHECKING:
    from pyrunner.program import Command
    from pyrunner.runtime import Supervisor, WorkerSpec

SERVING = ("score-stream", "serve-api")  # the kinds that run until they are told to end


def serve(
    project: Project,
    kind: str,
    name: str,
    address: str | None,
    token_file: Path | None,
    *,
    model: str | None = None,
    workers: int | None = None,
) -> int:
    """Run the workers of one command until a signal; with their own bridge unless `address` names one. An exit code."""
    command = command_of(project, kind, name)
    project.require_trained(model, verb=command.name)
    specs = [worker_spec(project, command, model=model, workers=workers)]
    if address:
        return supervisor(project, specs, address, require_token(token_file)).run()
    options = bridge_options(project, [command])
    with bridges.running(options) as child:
        return run_beside(child, supervisor(project, specs, child.wire, options.token_file))


def run_beside(child: Bridge, supervising: Supervisor) -> int:
    """Run a supervisor on this thread while the bridge lives. A bridge that fails meanwhile is Unavailable."""
    with _watched(child, supervising):
        code = supervising.run()
    ended = child.poll()
    if ended:
        raise Unavailable(f"ds-bridge ended with exit code {ended}. {child.last_words()}".rstrip())
    return code


def bridge_options(project: Project, commands: Sequence[Command], **settings: Any) -> Options:
    """How this project's own bridge is started: its state folder, and HTTP where one of the commands serves it."""
    http = next((f"{c.host or '127.0.0.1'}:{c.port}" for c in commands if kind(c) == "serve-api"), None)
    return Options(
        program=project.path,
        commands=[c.name for c in commands],
        state=project.state,
        env=project.env,
        params=project.params,
        http=http,
        **settings,
    )


def worker_spec(
    project: Project, command: Command, *, model: str | None = None, workers: int | None = None
) -> WorkerSpec:
    """What the supervisor spawns for a command."""
    from pyrunner.runtime import WorkerSpec

    return WorkerSpec(
        program=project.path,
        command=command.name,
        workers=workers or worker_count(command.workers),
        env=project.env,
        params=project.params,
        model_ref=model,
        name=project.name,
    )


def supervisor(
    project: Project, specs: Sequence[WorkerSpec], address: str, token_file: Path, *, log_level: str = "info"
) -> Supervisor:
    """The parent of these workers, logging to standard error."""
    from pyrunner import logs
    from pyrunner.runtime import Supervisor

    logs.configure(level=log_level)
    log = logs.get(program=project.name)
    return Supervisor(specs, bridge=address, token_file=token_file, log=log, log_level=log_level)


def worker_count(wanted: int | str | None) -> int:
    """The number of worker processes; `auto` is one less than there are processors, so that the bridge has one."""
    if wanted == "auto":
        return max(1, usable_processors() - 1)
    return int(wanted or 1)


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def command_of(project: Project, wanted: str, name: str) -> Command:
    """The command of that name, which must be of that kind."""
    try:
        command = project.program.command(name)
    except KeyError:
        names = [c.name for c in project.program.commands]
        raise UserError(unknown("no command", name, names)) from None
    if kind(command) != wanted:
        raise UserError(
            f"{wanted}: the command {name} is of kind {kind(command)}. Run: ds-runner {kind(command)} --command {name}"
        )
    return command


def serving(project: Project) -> list[Command]:
    """The commands of a program that run until they are told to end, and have what they need to."""
    return [
        c
        for c in project.program.commands
        if kind(c) == "serve-api" or (kind(c) == "score-stream" and c.input)
    ]


def kind(command: Command) -> str:
    """The kind of a command: as told, else its name's."""
    return kind_of(command.name, command.kind or "")


def require_token(token_file: Path | None) -> Path:
    """The token file that belongs to `--bridge`."""
    if token_file is None:
        raise UserError(
            "--bridge needs --token-file: the file with the token that the bridge was started with"
        )
    if not token_file.is_file():
        raise UserError(f"no token file {token_file}")
    return token_file


@contextmanager
def _watched(child: Bridge, supervising: Supervisor) -> Iterator[None]:
    """Within, the end of the bridge ends the supervisor."""
    over = threading.Event()
    thread = threading.Thread(
        target=_watch, args=(child, supervising.stop, over), name="bridge-watch", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(child: Bridge, stop: Callable[[], Any], over: threading.Event) -> None:
    while not over.wait(0.05):
        if child.poll() is not None:
            stop()
            return
