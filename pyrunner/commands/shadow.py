"""`ds-runner shadow`: how often, and how far, the answers of a shadow are not those of its command."""

from __future__ import annotations

import json as jsons
from collections.abc import Iterator
from typing import Any

from pyrunner.commands.console import emit, say
from pyrunner.commands.figures import figure
from pyrunner.commands.options import BridgeAddress, Env, Json, ProgramPath, TokenFile
from pyrunner.commands.running import control
from pyrunner.errors import UserError
from pyrunner.project import open_project

_NAMED = 3  # fields that the sentence names


def shadow(
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
    program: ProgramPath = None,
    env: Env = None,
    json: Json = False,
) -> None:
    """Show how the answers of a shadow differ.

    A sentence for each command that has one, and for each field the events whose answers are farthest apart.
    """
    with control(open_project(program, env), bridge, token_file) as client:
        shadows: dict[str, Any] = jsons.loads(client.call("shadow"))
    if json:
        emit(shadows)
        return
    if not shadows:
        raise UserError("no command has a shadow. Name one in program.yaml, for example: shadow: latest")
    for command, one in sorted(shadows.items()):
        say(f"{command}: {sentence(one)}")
        for line in examples(one):
            say(f"  {line}")


def sentence(shadow: dict[str, Any]) -> str:
    """`shadow 3: compared 12,000, differs 1.2 % (arr_delay by mean 0.4, max 3.1), dropped 20`."""
    compared, differing = shadow["compared"], shadow["differing"]
    said = f"shadow {shadow['model']}: compared {compared:,}"
    if compared:
        said += f", differs {_percent(differing / compared)}"
    if shadow["fields"]:
        named = [_field(f) for f in shadow["fields"][:_NAMED]]
        more = len(shadow["fields"]) - _NAMED
        said += f" ({'; '.join(named)}{f'; {more} more' if more > 0 else ''})"
    for what in ("dropped", "spared", "worker_deaths"):
        said += f", {what.replace('_', ' ')} {shadow[what]:,}" if shadow.get(what) else ""
    return said if shadow["ready"] else f"{said}, no worker is ready"


def examples(shadow: dict[str, Any]) -> Iterator[str]:
    """The events that are farthest apart, a line each."""
    for field in shadow["fields"]:
        for e in field.get("examples", ()):
            values = f"{jsons.dumps(e['primary'])}, shadow {jsons.dumps(e['shadow'])}"
            yield f"{e['event']} {field['field']}: {values} (models {e['primary_model']} and {e['shadow_model']})"


def _field(field: dict[str, Any]) -> str:
    if "mean" not in field:
        return f"{field['field']} {field['differs']:,} times"
    return f"{field['field']} by mean {figure(field['mean'])}, max {figure(field['max'])}"


def _percent(share: float) -> str:
    """Not 0 % where there is something, nor 100 % where not all is."""
    percent = 100 * share
    if 0 < percent < 0.1:
        return "less than 0.1 %"
    if 99.9 < percent < 100:
        return "more than 99.9 %"
    return f"{percent:.1f} %".replace(".0 %", " %")
