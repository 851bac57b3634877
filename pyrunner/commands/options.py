"""Options that several verbs share, so that they are named, explained and parsed in one place."""

from pathlib import Path
from typing import Annotated

import typer

from pyrunner.errors import UserError

ProgramPath = Annotated[
    Path | None,
    typer.Option("--program", metavar="PATH", help="program.yaml or its folder. Default: here and upwards."),
]
Env = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Merge program.NAME.yaml over program.yaml.")
]
Params = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p", metavar="NAME=VALUE", help="Set a parameter of the model. May be repeated."
    ),
]
ModelRef = Annotated[
    str | None, typer.Option("--model", metavar="REF", help="A version or an alias of the trained model.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
BridgeAddress = Annotated[
    str | None,
    typer.Option(
        "--bridge", metavar="URL", help="Use the bridge that listens here (a pod's sidecar); start none."
    ),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="The token shared with that bridge.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", "-w", min=1, help="Worker processes. Default: program.yaml.")
]
Metrics = Annotated[
    str | None,
    typer.Option(
        "--metrics",
        metavar="HOST:PORT",
        help="Serve /metrics of the workers there, the model's own included.",
    ),
]


def listening(address: str | None) -> tuple[str, int] | None:
    """`0.0.0.0:7402` as host and port."""
    if address is None:
        return None
    host, _, port = address.rpartition(":")
    if not port.isdigit() or int(port) > 65535:
        raise UserError(f"--metrics {address}: write HOST:PORT, such as 127.0.0.1:7402")
    return host or "127.0.0.1", int(port)
