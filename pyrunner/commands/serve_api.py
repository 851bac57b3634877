"""`ds-runner serve-api`: workers that answer HTTP requests, beside a bridge or with one of their own; or a measure of their rates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrunner.commands.console import count, emit, note, say, stages
from pyrunner.commands.options import (
    BridgeAddress,
    Env,
    Json,
    Metrics,
    ModelRef,
    Params,
    ProgramPath,
    TokenFile,
    Workers,
    listening,
)
from pyrunner.errors import UserError
from pyrunner.local import command_of, serve, usable_processors, worker_count
from pyrunner.project import open_project

if TYPE_CHECKING:
    from pyrunner.loadtest import Stage

Name = Annotated[
    str, typer.Option("--command", metavar="NAME", help="A command of program.yaml of this kind.")
]
LoadTest = Annotated[
    bool,
    typer.Option("--load-test", help="Measure what this machine answers, on a port of its own, and end."),
]
Rows = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="Of --load-test: bodies to send, one JSON a line. Default: rows of the model's sample.",
    ),
]
Seconds = Annotated[float, typer.Option(min=1, help="Of --load-test: how long all of it takes.")]
Connections = Annotated[int, typer.Option(min=1, max=4096, help="Of --load-test: clients that ask at once.")]


def serve_api(
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    workers: Workers = None,
    model: ModelRef = None,
    metrics: Metrics = None,
    command: Name = "serve-api",
    load_test: LoadTest = False,
    rows: Rows = None,
    seconds: Seconds = 45,
    connections: Connections = 64,
    json: Json = False,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
) -> None:
    """Serve the model over HTTP.

    Or say with --load-test at which rates it would be answered.

    SIGTERM or Ctrl-C drain. With --bridge only the workers run here, as in a pod.
    """
    project = open_project(program, env, param)
    served = command_of(project, "serve-api", command)
    if not load_test:
        at = listening(metrics)
        raise typer.Exit(serve(project, served, bridge, token_file, model=model, workers=workers, metrics=at))
    if bridge:
        raise UserError(
            "--load-test starts a bridge of its own: leave --bridge out, or run ds-bridge load URL"
        )
    from pyrunner.loadtest import Request, run

    request = Request(served, model, workers, rows, seconds, connections)
    with stages() as on_stage:
        found = run(project, request, on_stage)
    if json:
        emit([stage.as_json() for stage in found])
    else:
        _tell(found, workers or worker_count(served.workers))
    raise typer.Exit(0 if any(stage.rate for stage in found) else 1)


def _tell(found: list[Stage], workers: int) -> None:
    say(f"{count(workers, 'worker')}, {count(usable_processors(), 'processor')} shared with the sender")
    say(f"{'':16}{'CPU us':>8}{'asked/s':>10}{'answered/s':>12}{'p50 ms':>9}{'p99 ms':>9}")
    for stage in found:
        say(_row(stage))
    for line in _troubles(found):
        note(line)
    if verdict := _verdict(found):
        say(verdict)


def _row(stage: Stage) -> str:
    cost = f"{stage.server_cpu_us:,.0f}" if stage.server_cpu_us is not None else "-"
    asked = f"{stage.asked:,.0f}" if stage.asked else "-"
    p50, p99 = f"{stage.p50_ms:,.2f}", f"{stage.p99_ms:,.2f}"
    if stage.void or stage.unsent or not stage.rate:
        p50 = p99 = "-"
    elif stage.name == "full":
        p99 = "-"  # of a closed loop under saturation it says nothing
    name = f"{stage.connections} at once" if stage.name == "full" else stage.name
    return f"{name:16}{cost:>8}{asked:>10}{stage.rate:>12,.0f}{p50:>9}{p99:>9}"


def _troubles(found: list[Stage]) -> Iterator[str]:
    for stage in found:
        others = [f"{n:,} times {status}" for status, n in sorted(stage.statuses.items()) if status != "200"]
        if others:
            yield f"{stage.name}: answered {', '.join(others)}"
        if stage.failed:
            yield f"{stage.name}: {count(stage.failed, 'request')} without an answer, the first: {stage.why}"
        if stage.unsent:
            yield (
                f"{stage.name}: {count(stage.unsent, 'request')} due and not sent, since all connections waited, so latencies are not shown"
            )
    late = [stage for stage in found if stage.void]
    if late:
        worst = max(stage.late_ms for stage in late)
        yield (
            f"{', '.join(stage.name for stage in late)}: the sender itself was late (p99 up to {worst:,.0f} ms), so latencies are not "
            "shown. Send from another machine: ds-bridge load URL --rows FILE"
        )


def _verdict(found: list[Stage]) -> str:
    full = next((stage for stage in found if stage.name == "full" and stage.rate), None)
    if full is None:
        return ""
    said = f"{full.rate:,.0f} requests a second at most"
    steady = [
        stage
        for stage in found
        if stage.asked and stage.rate >= 0.95 * stage.asked and not (stage.void or stage.unsent)
    ]
    if steady:
        best = steady[-1]
        said += f"; of {best.asked:,.0f} a second 99 in 100 are answered within {best.p99_ms:.1f} ms"
    return said + "."
