"""`ds-runner audit`: kill parts while numbered events flow, and count what came of it."""

from __future__ import annotations

import random
import secrets
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrunner.commands import NOT_SO
from pyrunner.commands.console import emit, note, progress, say
from pyrunner.commands.options import Env, Json, ProgramPath
from pyrunner.errors import UserError
from pyrunner.program import Duration
from pyrunner.project import find_program, open_project

if TYPE_CHECKING:
    from pyrunner.audit.parts import Broker
    from pyrunner.audit.route import Route

Kill = Annotated[
    str | None,
    typer.Option("--kill", metavar="PARTS", help="SIGKILL: bridge, worker, broker, with commas."),
]
Stop = Annotated[
    str | None,
    typer.Option("--stop", metavar="PARTS", help="Stop and start again as planned: bridge, worker."),
]
Pause = Annotated[
    str | None,
    typer.Option("--pause", metavar="PARTS", help="SIGSTOP for up to three seconds: bridge, worker."),
]
Times = Annotated[
    str,
    typer.Option("--times", metavar="N|PART=N,...", help="How often each: 20, or bridge=50,worker=50."),
]
At = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="random|steps",
        help="When the bridge is killed: at any moment, or at named steps of its code.",
    ),
]
Events = Annotated[int, typer.Option("--events", "-n", min=1, help="How many are published.")]
Rate = Annotated[
    float | None, typer.Option("--rate", min=0.001, help="Events per second. Default: as fast as it goes.")
]
Poisons = Annotated[int, typer.Option("--poisons", min=0, help="How many of them are planned to die.")]
Seed = Annotated[
    int | None, typer.Option("--seed", help="Of what is drawn. Default: a new one, which is printed.")
]
Limit = Annotated[
    str, typer.Option("--deadline", metavar="TIME", help="Of the whole audit, such as 10m. No verdict then.")
]
Patience = Annotated[
    str,
    typer.Option("--patience", metavar="TIME", help="Without progress for so long, what is missing is lost."),
]
Command = Annotated[
    str, typer.Option("--command", metavar="NAME", help="The command whose route is audited.")
]
Embedded = Annotated[
    bool, typer.Option("--embedded", help="The embedded broker, whatever project this folder belongs to.")
]
BrokerPid = Annotated[
    str | None,
    typer.Option(
        "--broker-pid", metavar="PID|FILE", help="The broker's process, or the file with its number."
    ),
]
BrokerKill = Annotated[
    str | None, typer.Option("--broker-kill", metavar="COMMAND", help="Kills the broker, instead.")
]
BrokerStart = Annotated[
    str | None, typer.Option("--broker-start", metavar="COMMAND", help="Starts the broker again.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave topics and logs, and say where they are.")]


def audit(
    kill: Kill = None,
    stop: Stop = None,
    pause: Pause = None,
    times: Times = "10",
    at: At = "random",
    events: Events = 100_000,
    rate: Rate = None,
    poisons: Poisons = 0,
    seed: Seed = None,
    deadline: Limit = "30m",
    patience: Patience = "2m",
    command: Command = "score-stream",
    embedded: Embedded = False,
    broker_pid: BrokerPid = None,
    broker_kill: BrokerKill = None,
    broker_start: BrokerStart = None,
    keep: Keep = False,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Kill parts while events flow, and count what came of it.

    On the connections of program.yaml, or the embedded broker where there is none; on topics of its own. Exit code 1 when
    the promise of the route is broken.
    """
    from pyrunner.audit.options import deeds_of
    from pyrunner.audit.producer import Flow
    from pyrunner.audit.report import as_json, table
    from pyrunner.audit.run import Plan
    from pyrunner.audit.run import audit as run_audit

    route = _route(embedded, program, env, command)
    if kill is None and stop is None and pause is None:
        kill = "bridge,worker"
    plan = Plan(
        route=route,
        flow=Flow(events, rate, poisons),
        deeds=deeds_of(kill, stop, pause, times),
        seed=random.SystemRandom().randrange(1 << 32) if seed is None else seed,
        at_steps=_steps(at),
        broker=_broker(route, kill, broker_pid, broker_kill, broker_start),
        patience=_seconds("--patience", patience),
        deadline=_seconds("--deadline", deadline),
        keep=keep,
        warn=note,
    )
    with _folder(keep) as folder, _interruptible(), progress() as bar:
        task = bar.add_task("audit", total=events)

        def tell(done: int, settled: int, published: int) -> None:
            bar.update(task, completed=settled, description=f"audit, {done} of {len(plan.deeds)} done")

        outcome = run_audit(plan, folder, tell)
    if json:
        emit(as_json(outcome))
    else:
        for line in table(outcome):
            say(line)
    for sentence in outcome.broken:
        note(f"broken: {sentence}")
    if outcome.broken:
        raise typer.Exit(NOT_SO)


def _route(embedded: bool, program: Path | None, env: str | None, command: str) -> Route:
    from pyrunner.audit.route import embedded_route, route_of
    from pyrunner.local import command_of

    run = secrets.token_hex(4)
    if embedded or find_program(program, missing_ok=True) is None:
        if embedded and program is not None:
            raise UserError("audit: --embedded and --program exclude each other")
        return embedded_route(run)
    project = open_project(program, env)
    return route_of(run, project.program, command_of(project, "score-stream", command))


def _broker(
    route: Route, kill: str | None, pid: str | None, by: str | None, start: str | None
) -> Broker | None:
    from pyrunner.audit.parts import CommandBroker

    if "broker" not in (kill or ""):
        if pid or by or start:
            raise UserError("audit: --broker-pid, --broker-kill and --broker-start go with --kill broker")
        return None
    if not route.outside:
        raise UserError(
            f"audit: --kill broker: the broker of {route.source.scheme}: is in the bridge. Write --kill bridge, which kills both"
        )
    if (pid is None) == (by is None) or start is None:
        raise UserError(
            "audit: --kill broker: say how. Write --broker-start COMMAND and one of --broker-pid PID, --broker-kill COMMAND"
        )
    return CommandBroker(by, start, pid)


def _steps(at: str) -> bool:
    if at not in ("random", "steps"):
        raise UserError(f"audit: --at {at}: write random or steps")
    return at == "steps"


def _seconds(option: str, text: str) -> float:
    try:
        return Duration(text).seconds
    except ValueError as e:
        raise UserError(f"audit: {option} {text}: {e}") from None


@contextmanager
def _folder(keep: bool) -> Iterator[Path]:
    """The pod's; with `keep` it stays, for its logs."""
    if keep:
        folder = Path(tempfile.mkdtemp(prefix="ds-runner-audit-"))
        note(f"logs and state: {folder}")
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="ds-runner-audit-") as name:
        yield Path(name)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Within, SIGTERM ends as Ctrl-C does: what was started is ended."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
