"""`ds-runner manifest`: the Kubernetes manifest of a program."""

import sys
from typing import Annotated

import typer

from pyrunner import manifest as manifests
from pyrunner.commands.options import Env, ProgramPath
from pyrunner.project import open_project

Image = Annotated[str, typer.Option("--image", metavar="NAME:TAG", help="The image of the program.")]
BridgeImage = Annotated[
    str | None,
    typer.Option(
        "--bridge-image", metavar="NAME:TAG", help="The image of ds-bridge. Default: NAME-bridge:TAG."
    ),
]
Commands = Annotated[
    list[str] | None,
    typer.Option("--command", "-c", metavar="NAME", help="A command to run. Default: all that serve."),
]


def manifest(
    image: Image,
    bridge_image: BridgeImage = None,
    command: Commands = None,
    program: ProgramPath = None,
    env: Env = None,
) -> None:
    """Print a Kubernetes manifest.

    A pod with the bridge as its sidecar.
    """
    name, _, tag = image.rpartition(":")
    text = manifests.pod(
        open_project(program, env),
        image=image,
        bridge_image=bridge_image or (f"{name}-bridge:{tag}" if name else f"{image}-bridge"),
        commands=command or (),
    )
    sys.stdout.write(text)
