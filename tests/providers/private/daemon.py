"""dockerd for a while: everything of it below one folder, on a Unix socket that only its owner can open."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .. import reaper
from ..component import ComponentError
from ..containers.engine import answers
from ..leash import LEASH
from ..needs import program

_PATIENCE = 60.0
_DEVICE = "docker0"


class Impossible(Exception):
    """This machine cannot run an engine: why."""


@contextlib.contextmanager
def running() -> Iterator[str]:
    """An engine's address. Afterwards its containers, images and network device are gone."""
    daemon = _installed()
    folder = LEASH.folder("ds-engine-")
    held = [("engine", str(folder)), ("folder", str(folder))]
    if not Path("/sys/class/net", _DEVICE).exists():
        held.insert(1, ("device", _DEVICE))
    for kind, what in held:
        LEASH.hold(kind, what)
    process = LEASH.spawn(_command(daemon, folder), folder / "log")
    try:
        _wait(process, folder)
        yield _address(folder)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        LEASH.end(process)
        for kind, what in held:
            reaper.UNDO[kind](what)
            LEASH.forget(kind, what)


_SYSTEM = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def _command(daemon: str, folder: Path) -> list[str]:
    # No packet filter rules, no forwarding: ports are published by docker's proxy process, on loopback alone, and
    # containers need nothing of the outside. So there is nothing of the machine's to put back afterwards.
    network = ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip=127.0.0.1"]
    places = [f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    return [daemon, f"--host={_address(folder)}", *places, *network]


def _address(folder: Path) -> str:
    return f"unix://{folder}/docker.sock"


def _installed() -> str:
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        raise Impossible("that needs root on Linux")
    # dockerd, what it starts and ip are a system's programs, which a bare PATH lacks.
    os.environ["PATH"] = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM])
    try:
        return program("dockerd", ["docker.io", "iproute2"])
    except ComponentError as error:
        raise Impossible(str(error)) from error


def _wait(process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not answers(_address(folder)):
        if process.poll() is not None or time.monotonic() > deadline:
            end = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-10:])
            raise Impossible(f"dockerd does not start. The end of its log:\n{end}\n")
        time.sleep(0.1)
