"""A bridge and its workers on this machine: what `score-stream`, `serve-api`, `up` and `replay` have in common.

    project -> worker_specs() -> serve(): start a bridge unless one is given -> Workers.run() -> stop the bridge

Beside a bridge of their own the workers are ended by its drain: it takes nothing more, they finish, it says goodbye. In a
pod the supervisor takes the signals itself and says drain to a bridge that lives on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrunner import bridge as bridges
from pyrunner.bridge import Bridge, Options, Unavailable
from pyrunner.errors import UserError
from pyrunner.parting import parting
from pyrunner.program.kinds import kind_of
from pyrunner.program.words import unknown
from pyrunner.project import UNTRAINED, Project

if TYPE_CHECKING:
    from pyrunner.program import Command
    from pyrunner.runtime import WorkerEvent, WorkerSpec

MISTAKE = 2  # the supervisor's exit code for a model that cannot be loaded
LOOK_SECONDS = 0.05  # between looks whether the bridge lives
SERVING = ("score-stream", "serve-api")  # the kinds that run until they are told to end


class Workers:
    """The workers of some commands behind one supervisor, which logs to standard error.

    With `fail_fast` a model that cannot be loaded before it ever was ends `run` with a UserError; without it (in a pod, and
    while files are being edited) loading is tried again.
    """

    def __init__(
        self,
        project: Project,
        specs: Sequence[WorkerSpec],
        address: str,
        token_file: Path,
        *,
        metrics: tuple[str, int] | None = None,
        fail_fast: bool = False,
        log_level: str | None = None,
        part: Callable[[str], None] | None = None,
    ) -> None:
        from pyrunner import logs
        from pyrunner.runtime import Supervisor
        from pyrunner.versions import Versions

        log_level = log_level or logs.wanted_level()
        logs.configure(level=log_level)
        self._failures: list[str] = []
        self.unknown: list[str] = []  # of fields that events had and the class has not, a sentence each
        self._supervisor = Supervisor(
            specs,
            bridge=address,
            token_file=token_file,
            log=logs.get(program=project.name),
            on_event=self._note,
            metrics=metrics,
            fail_fast=fail_fast,
            log_level=log_level,
            part=part,
        )
        self._versions = [
            Versions(
                program_of(project, own[0]),
                own,
                address,
                token_file,
                change=self._supervisor.change,
                turn_to=self._supervisor.replace,
                largest=self._supervisor.largest,
                log=logs.get(program=project.name),
            )
            for served in dict.fromkeys(spec.served for spec in specs)
            if (own := [spec for spec in specs if spec.served == served and not spec.shadow])
            and (own[0].served_by or kind(project.program.command(served)) == "serve-api")
        ]

    def run(self) -> int:
        """Until they are told to end, on this thread. An exit code."""
        for versions in self._versions:
            versions.start()
        try:
            code = self._supervisor.run()
        finally:
            for versions in self._versions:
                versions.close()
        if code == MISTAKE and self._failures:
            raise UserError(f"the model could not be loaded\n{self._failures[0]}")
        return code

    def stop(self) -> None:
        """Drain and end; called again, hurry. From any thread."""
        self._supervisor.stop()

    def _note(self, event: WorkerEvent) -> None:
        for versions in self._versions:
            versions.note(event)
        if event.kind == "failed" and not event.of_shadow:
            self._failures.append(event.detail)
        elif event.kind == "unknown":
            self.unknown.append(event.detail)


def serve(
    project: Project,
    command: Command,
    address: str | None,
    token_file: Path | None,
    *,
    model: str | None = None,
    workers: int | None = None,
    metrics: tuple[str, int] | None = None,
) -> int:
    """Run the workers of one command until a signal; with their own bridge unless `address` names one. An exit code."""
    if address:
        address, token = require_address(address), require_token(token_file)
        beside = project.beside(address, token)
        if kind(command) != "serve-api":
            beside.require_trained(model, verb=command.name)
        specs = worker_specs(beside, command, model=model, workers=workers)
        part = parting(address, token, command.name) if kind(command) == "serve-api" else None
        return Workers(project, specs, address, token, metrics=metrics, part=part).run()
    if kind(command) != "serve-api":
        project.require_trained(model, verb=command.name)
    specs = worker_specs(project, command, model=model, workers=workers)
    options = bridge_options(project, [command])
    with bridges.running(options) as child:
        own = Workers(project, specs, child.wire, options.token_file, metrics=metrics, fail_fast=True)
        return run_beside(child, own).code


class Ended(NamedTuple):
    """How a run beside a bridge came to its end."""

    code: int
    signalled: bool  # by Ctrl-C or SIGTERM, before it was done by itself


def run_beside(child: Bridge, workers: Workers) -> Ended:
    """Run workers, on a thread of their own, while the bridge lives; call it on the main thread.

    Ctrl-C and SIGTERM go to the bridge, which takes nothing more, has its workers finish and ends; the workers end after
    it. A second signal ends all at once. A bridge that fails is Unavailable.
    """
    with ThreadPoolExecutor(1, "supervisor") as pool, _signals(child, workers) as seen:
        running = pool.submit(workers.run)
        while not wait([running], LOOK_SECONDS).done:
            if child.poll() is not None:
                workers.stop()
                break
        code = running.result()
    ended = child.poll()
    if ended and len(seen) < 2:
        raise Unavailable(f"ds-bridge ended with exit code {ended}. {child.last_words()}".rstrip())
    return Ended(code, bool(seen))


@contextmanager
def _signals(child: Bridge, workers: Workers) -> Iterator[list[int]]:
    """Within, the first signal drains and the second hurries. Yields the signals that came."""
    seen: list[int] = []

    def take(number: int, frame: object) -> None:
        seen.append(number)
        child.drain()
        if len(seen) > 1:
            workers.stop()

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bridge_options(project: Project, commands: Sequence[Command], **settings: Any) -> Options:
    """How this project's own bridge is started: with the project's state folder."""
    return Options(
        program=project.path,
        commands=[c.name for c in commands],
        state=project.state,
        env=project.env,
        params=project.params,
        **settings,
    )


def worker_specs(
    project: Project, command: Command, *, model: str | None = None, workers: int | None = None
) -> list[WorkerSpec]:
    """What the supervisor spawns for a command: its versions and, where it has one, its shadow.

    Versions of a command that serves HTTP are pinned: a worker that is started anew has the one that it had. Raises UserError
    when one of them is not in the model store.
    """
    own = worker_spec(project, command, model=model, workers=workers)
    own = replace(own, standby=command.standby or 0)
    if command.versions and model is not None:
        raise UserError(
            f"--model {model}: program.yaml names the versions of {command.name}. Leave one of the two out"
        )
    if command.versions:
        specs = [
            replace(own, version=name, model_ref=project.require_trained(name, verb=command.name))
            for name in sorted(command.versions)
        ]
    elif kind(command) == "serve-api":
        version = project.require_trained(model, verb=command.name)
        specs = [own if version == UNTRAINED else replace(own, model_ref=version)]
    else:
        specs = [own]
    specs += [
        _guest(project, command, own, name, path) for name, path in sorted((command.models or {}).items())
    ]
    if command.shadow is None:
        return specs
    beside = replace(
        own, model_ref=str(command.shadow), workers=command.shadow_workers or 1, shadow=True, standby=0
    )
    return [*specs, beside]


def _guest(project: Project, command: Command, own: WorkerSpec, name: str, path: str) -> WorkerSpec:
    """The workers of a further model: another program's class and trained model, that this program's server answers for."""
    from pyrunner.program import load_program

    file = (project.folder / path).resolve()
    place = f"{command.name}.models.{name}"
    if not file.is_file():
        raise UserError(
            f"{place}: no file {path}. It names the program.yaml of another project, relative to this one"
        )
    other = Project(file, load_program(file))
    serving = next((c for c in other.program.commands if kind(c) == "serve-api"), None)
    if serving is None:
        raise UserError(f"{place}: {path} has no command that serves HTTP")
    if other.program.spec.model_store is not None:
        raise UserError(
            f"{place}: {path} keeps its models in {other.program.spec.model_store}, which its own bridge alone reaches. "
            "Serve it by a server of its own, or keep its models in a folder"
        )
    trained = bool(other.store.list(other.name))
    return replace(
        own,
        program=file,
        command=serving.name,
        env=None,
        params=(),
        model_ref=other.store.resolve(other.name) if trained else None,
        served_by=f"{command.name}:{name}",
        secrets=own.secrets | other.secrets,
    )


def program_of(project: Project, spec: WorkerSpec) -> Project:
    """The project whose model these workers have."""
    from pyrunner.program import load_program

    return Project(spec.program, load_program(spec.program)) if spec.served_by else project


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
        secrets=project.secrets,
    )


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


def require_address(address: str) -> str:
    """The address that `--bridge` gives, which must be one."""
    from pyrunner.client.sockets import host_and_port

    try:
        if not address.startswith("unix:///"):
            host_and_port(address)
    except ValueError as e:
        raise UserError(f"--bridge: {e}") from None
    return address


def require_token(token_file: Path | None) -> Path:
    """The token file that belongs to `--bridge`."""
    if token_file is None:
        raise UserError(
            "--bridge needs --token-file: the file with the token that the bridge was started with"
        )
    from pyrunner.protocol.preface import read_token

    try:
        read_token(token_file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"no token file {token_file}") from None
    except OSError as e:
        raise UserError(f"token file {token_file}: {e.strerror}") from None
    except ValueError as e:
        raise UserError(f"{token_file} is no token file: {e}") from None
    return token_file
