"""`ds-runner up`: everything of a program on this machine, in one terminal.

    up -> one bridge (embedded broker, HTTP) + one supervisor with the workers of all commands that serve

With `--reload` a change of a Python file starts new workers, which is quick; a change of program.yaml starts the bridge anew
as well, after it has been read without a mistake.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pyrunner import bridge as bridges
from pyrunner import local
from pyrunner.bridge import Bridge
from pyrunner.commands import board
from pyrunner.commands.console import note
from pyrunner.commands.options import Env, ModelRef, Params, ProgramPath, Workers
from pyrunner.errors import UserError
from pyrunner.program import Command
from pyrunner.project import Project, open_project
from pyrunner.reload import Watch

Reload = Annotated[
    bool, typer.Option("--reload", help="Start new workers when a .py file or program.yaml changes.")
]


def up(
    reload: Reload = False,
    workers: Workers = None,
    model: ModelRef = None,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
) -> None:
    """Run everything here, in one terminal.

    Embedded broker, bridge, streams and API, until Ctrl-C, which drains; a second Ctrl-C hurries.
    """
    project = open_project(program, env, param)
    while True:
        code, changed = _Session(project, model, workers, reload).run()
        if not changed:
            raise typer.Exit(code)
        project = open_project(project.path, env, param)


class _Session:
    """One bridge and the supervisors that run beside it, one after another when files change."""

    def __init__(self, project: Project, model: str | None, workers: int | None, reload: bool) -> None:
        self.project, self.model, self.workers, self.reload = project, model, workers, reload
        self.commands = _commands(project)
        project.require_trained(model, verb="up")
        self.changed: list[Path] = []

    def run(self) -> tuple[int, bool]:
        """The exit code, and whether program.yaml changed, so that another session is to follow."""
        options = local.bridge_options(self.project, self.commands)
        log = self.project.state / "bridge.log"
        with bridges.running(options, log=log) as child:
            _welcome(self.project, self.commands, child)
            with board.shown(child.wire, options.token_file):
                while True:
                    code = self._supervise(child, options.token_file)
                    if not self.changed:
                        return code, False
                    if any(path.suffix != ".py" for path in self.changed):
                        return code, True

    def _supervise(self, child: Bridge, token_file: Path) -> int:
        specs = [
            spec
            for c in self.commands
            for spec in local.worker_specs(self.project, c, model=self.model, workers=self.workers)
        ]
        workers = local.Workers(self.project, specs, child.wire, token_file, fail_fast=not self.reload)
        self.changed = []

        def on_change(files: list[Path]) -> None:
            note(f"changed: {', '.join(str(f.relative_to(self.project.folder)) for f in files)}")
            if _readable(self.project):
                self.changed = files
                workers.stop()

        if not self.reload:
            return local.run_beside(child, workers).code
        with Watch(self.project.folder, on_change):
            return local.run_beside(child, workers).code


def _commands(project: Project) -> list[Command]:
    found = local.serving(project)
    if not found:
        raise UserError(
            "up: no command of program.yaml serves. Add for example: {name: score-stream, input: ..., output: ...}"
        )
    return found


def _readable(project: Project) -> bool:
    """Whether program.yaml can be read as it is now; if not, its mistakes are told and what runs runs on."""
    try:
        open_project(project.path, project.env, project.params)
    except UserError as e:
        note(str(e))
        return False
    return True


def _welcome(project: Project, commands: list[Command], child: Bridge) -> None:
    for c in commands:
        if local.kind(c) == "serve-api":
            url = f"{'https' if c.tls else 'http'}://{child.running.http}"
            beside = f", gRPC at {child.running.grpc}" if c.grpc_port is not None else ""
            note(f"{c.name}: {url}/predict, documentation at {url}/docs{beside}")
        else:
            note(f"{c.name}: {c.input} -> {c.output or '(nowhere)'}")
    note(f"metrics: http://{child.running.metrics}/metrics, log: {child.log}")
    note("Ctrl-C drains. Events: ds-runner publish STREAM FILE, in a second terminal")
