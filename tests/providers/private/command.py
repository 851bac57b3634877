"""A command with an engine under it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from ..component import ComponentError
from ..containers import engine
from . import daemon, images


def under_engine(command: Sequence[str]) -> int:
    """Runs `command` with containers and returns its code.

    On a laptop that cannot have an engine this says so and is 0; in CI (the environment has CI) it is an error.
    """
    if engine.address():
        return subprocess.run(command, env=_with_containers({})).returncode
    try:
        with daemon.running() as address:
            named = {"DOCKER_HOST": address, "DS_PULL": "never", **images.make_all(address)}
            return subprocess.run(command, env=_with_containers(named)).returncode
    except daemon.Impossible as reason:
        text = f"no container engine answers, and none can be started here: {reason}"
        if os.environ.get("CI"):
            raise ComponentError(
                f"{text}. CI tests both providers: give it an engine or a root shell"
            ) from None
        print(f"NOT TESTED with containers: {text}.", file=sys.stderr)
        return 0


def _with_containers(named: dict[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if key != "DS_PROVIDERS"}
    return {**inherited, "DS_PROVIDER": "container", **named}
