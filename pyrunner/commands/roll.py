"""`ds-runner roll`: have another version of the model answer over HTTP, all at once or by weights, and show which ones do."""

from __future__ import annotations

import json as jsons
from typing import Annotated, Any

import typer

from pyrunner.commands.console import count, emit, say
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import open_project

Versions = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[VERSION[=WEIGHT]]...",
        help="A version or alias that is to answer, or several with their weights: 4, latest, 3=90 4=10. Without any, those that answer are shown.",
    ),
]
Command = Annotated[
    str,
    typer.Option("--command", metavar="NAME", help="The command that serves HTTP. Default: the only one."),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", metavar="SECONDS", min=1, max=3600, help="How long the versions may take to load."
    ),
]


def roll(
    versions: Versions = None,
    command: Command = "",
    timeout: Timeout = 120,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Have other versions of the model answer.

    Over HTTP, with no request lost: they are loaded beside those that answer, and take over when they can. What fails on the
    way changes nothing.
    """
    weights = weights_of(versions or [])
    with control(open_project(program, env), bridge, token_file) as client:
        if weights:
            client.call("versions.give", command, [[v, w] for v, w in weights.items()], deadline=timeout)
        found: dict[str, Any] = jsons.loads(client.call("versions"))
    if json:
        emit(found)
        return
    if not found:
        raise UserError("no command of this bridge serves HTTP. Run: ds-runner serve-api")
    for name, rows in sorted(found.items()):
        say(f"{name}:")
        for row in rows:
            say(f"  {sentence(row, sum(r['weight'] for r in rows))}")


def weights_of(versions: list[str]) -> dict[str, int]:
    """`["3=90", "4=10"]` as `{"3": 90, "4": 10}`; one without a weight gets all."""
    weights: dict[str, int] = {}
    for given in versions:
        name, equals, text = given.partition("=")
        if not name or (equals and not text.isdecimal()) or (not equals and len(versions) > 1):
            raise UserError(
                f"roll: {given} is not a version with a weight. Write one version, such as 4 or latest, or several: 3=90 4=10"
            )
        if name in weights:
            raise UserError(f"roll: {name} is named twice")
        weights[name] = int(text) if equals else 1
    if weights and not any(weights.values()):
        raise UserError("roll: no version has a weight, so none would answer")
    return weights


def sentence(row: dict[str, Any], whole: int) -> str:
    """`version 4: 10 % of requests, ready, 2 workers, 1,204 rows, p50 0.9 ms, p99 2.1 ms`."""
    named = row["version"] or row["name"] or "?"
    name = f"version {named}" + (f" ({row['name']})" if row["name"] not in ("", named) else "")
    share = f"{100 * row['weight'] / whole:.3g} % of requests" if row["weight"] else "only who names it"
    if row["state"] == "ending":
        return f"{name}: ending, it answers what it has"
    state = row["state"] + (f" ({row['why']})" if row.get("why") and row["state"] == "unready" else "")
    said = f"{name}: {share}, {state}, {count(row['workers'], 'worker')}, {count(row['in'], 'row')}"
    return said + (
        f", p50 {row['latency_p50_ms']:.3g} ms, p99 {row['latency_p99_ms']:.3g} ms" if row["in"] else ""
    )
