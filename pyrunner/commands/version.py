"""`ds-runner version` and `--version`."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

import typer

from pyrunner import bridge
from pyrunner.commands.console import emit, say
from pyrunner.commands.options import Json
from pyrunner.errors import UserError


def version(json: Json = False) -> None:
    """Print the versions of runner and bridge."""
    found = {"ds-runner": runner_version(), "ds-bridge": bridge_version()}
    if json:
        emit(found)
    else:
        say("\n".join(f"{name} {number}" for name, number in found.items()))


def print_and_exit(wanted: bool) -> Any:
    """Typer's callback of `--version`."""
    if wanted:
        say(f"ds-runner {runner_version()}")
        raise typer.Exit


def runner_version() -> str:
    """The version of the installed distribution."""
    try:
        return installed("ds-runner")
    except PackageNotFoundError:
        return "unknown (not installed)"


def bridge_version() -> str:
    """The version of the bridge that would be started, or why there is none."""
    try:
        return bridge.version_of(bridge.find_bridge())
    except (UserError, bridge.Unavailable) as e:
        return f"none: {e}"
