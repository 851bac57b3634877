"""Programs of the machine that a server is made of: found, else installed where that is nobody's loss, else asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from glob import glob

from .component import ComponentError


def program(name: str, packages: Sequence[str], places: Sequence[str] = ()) -> str:
    """The path of the program `name`: on the PATH or in `places` (patterns; the last in order wins).

    Where it is missing and we are root on Debian or Ubuntu, `packages` are installed. Otherwise the error says what to
    install: a laptop is not changed behind its owner's back.
    """
    found = _find(name, places)
    if not found and _may_install():
        _install(packages)
        found = _find(name, places)
    if not found:
        raise ComponentError(
            f"{name} is not on the PATH. On Debian or Ubuntu: sudo apt-get install {' '.join(packages)}. "
            "Elsewhere install it by your package manager, or start a container engine and it is not needed."
        )
    return found


def run(command: Sequence[str], doing: str, **settings: object) -> str:
    """Runs `command` and returns its output; an error says what was being done, and shows the end of that output."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **settings)  # type: ignore[call-overload]
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-20:])
        raise ComponentError(f"{doing} failed with code {done.returncode}: {' '.join(command)}\n{end}")
    return str(done.stdout)


def _find(name: str, places: Sequence[str]) -> str | None:
    beside = os.path.join(os.path.dirname(sys.executable), name)  # go of the virtual environment
    candidates = [beside, *sorted((path for place in places for path in glob(place)), reverse=True)]
    return shutil.which(name) or next((path for path in candidates if os.access(path, os.X_OK)), None)


def _may_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _install(packages: Sequence[str]) -> None:
    print(f"installing {' '.join(packages)} by apt-get", file=sys.stderr)
    install = [
        "apt-get",
        "install",
        "-y",
        "-q",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=120",
        *packages,
    ]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(install, "apt-get install", env=env)
    except ComponentError:  # the lists of a fresh image are empty
        run(["apt-get", "update", "-q"], "apt-get update", env=env)
        run(install, "apt-get install", env=env)
