"""`ds-runner doctor`: what this machine and this project have, and what is wrong with them."""

import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import NamedTuple

import typer

from pyrunner import bridge
from pyrunner.commands import NOT_SO
from pyrunner.commands.console import emit, no, ok
from pyrunner.commands.options import Env, Json, ProgramPath
from pyrunner.commands.version import runner_version
from pyrunner.errors import UserError
from pyrunner.project import Project, find_program, open_project

PACKAGES = ("msgspec", "msgpack", "pydantic", "numpy", "pandas", "pyarrow")
BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
LOW_DISK = 1 << 30


class Finding(NamedTuple):
    """One line: whether it is as it should be, about what, and what was found with the fix if there is one."""

    good: bool
    about: str
    text: str


def doctor(program: ProgramPath = None, env: Env = None, json: Json = False) -> None:
    """Look at this machine and project.

    Python, packages, the bridge, ports, state, cores, memory, disk. Exit code 1 when something is wrong.
    """
    findings = [*_machine(), *_bridge(), *_project(program, env)]
    if json:
        emit([f._asdict() for f in findings])
    else:
        for f in findings:
            (ok if f.good else no)(f"{f.about} {f.text}")
    if not all(f.good for f in findings):
        raise typer.Exit(NOT_SO)


def _machine() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(sys.version_info >= (3, 11), "python", f"{version} {sys.executable}")
    yield Finding(True, "ds-runner", runner_version())
    yield Finding(True, "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    yield Finding(True, "cores", f"{_cores()} usable of {os.cpu_count()}")
    yield Finding(True, "memory", _memory())
    yield Finding(True, "BLAS threads", ", ".join(f"{n}={os.environ.get(n, 'unset')}" for n in BLAS_THREADS))


def _bridge() -> Iterator[Finding]:
    try:
        binary = bridge.find_bridge()
        yield Finding(True, "ds-bridge", f"{bridge.version_of(binary)} {binary}")
    except (UserError, bridge.Unavailable) as e:
        yield Finding(False, "ds-bridge", str(e))


def _project(program: Path | None, env: str | None) -> Iterator[Finding]:
    if program is None and find_program(None, missing_ok=True) is None:
        yield Finding(True, "project", "none here or above")
        return
    try:
        project = open_project(program, env)
    except UserError as e:
        yield Finding(False, "project", str(e))
        return
    yield Finding(True, "project", f"{project.name} in {project.folder}")
    yield from _state(project)
    yield from _disk(project.folder)


def _state(project: Project) -> Iterator[Finding]:
    running = bridge.discover(project.state)
    if running:
        yield Finding(
            True,
            "running",
            f"bridge {running.version} pid {running.pid}, wire {running.wire}, http {running.http or 'none'}",
        )
    else:
        yield from _port(project)
    if (project.state / "bridge.json").exists() and not running:
        yield Finding(True, "state", f"{project.state}: a bridge was killed here; the next one cleans up")
    elif project.state.exists() and not os.access(project.state, os.W_OK):
        yield Finding(
            False, "state", f"{project.state} is not writable by this user. Change its owner, or remove it"
        )
    else:
        yield Finding(
            True, "state", f"{project.state} {'' if project.state.exists() else '(not made yet)'}".rstrip()
        )
    token = project.state / "token"
    if token.exists():
        mode = stat.S_IMODE(token.stat().st_mode)
        fix = "" if mode & 0o077 == 0 else f", others can read it. Run: chmod 600 {token}"
        yield Finding(not fix, "token", f"mode {mode:04o}{fix}")


def _port(project: Project) -> Iterator[Finding]:
    command = project.program.command("serve-api")
    host = command.host or "127.0.0.1"
    yield _free(host, "port", command.port or 0)
    if command.grpc_port is not None:
        yield _free(host, "grpc_port", command.grpc_port)


def _free(host: str, key: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            taken = f"{host}:{port} is not free ({e.strerror}). Set another: serve-api {key} in program.yaml"
            return Finding(False, key, taken)
    return Finding(True, key, f"{host}:{port} is free for serve-api")


def _disk(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    fix = "" if free >= LOW_DISK else ". The embedded broker and models need more; free some"
    yield Finding(not fix, "disk", f"{free / (1 << 30):.1f} GiB free at {folder}{fix}")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    limit = _cgroup_limit()
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{total / (1 << 30):.1f} GiB"
    return f"{text}, limit of this container {limit / (1 << 30):.1f} GiB" if limit and limit < total else text


def _cgroup_limit() -> int | None:
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            return int(Path(name).read_text())
        except (OSError, ValueError):
            continue
    return None


def _version(package: str) -> str:
    try:
        return installed(package)
    except PackageNotFoundError:
        return "not installed"
