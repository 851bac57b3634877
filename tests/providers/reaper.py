"""Cleans up behind a parent that died: read by `leash.py`, run as a program with nothing but the standard library.

Its standard input is a pipe that the parent, and each child of the parent until it has said its number, hold open.
Each line is something to undo; the end of the input says that there is nobody left to do it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time


class EngineConnection(http.client.HTTPConnection):
    """HTTP to the container engine, over its Unix socket or TCP."""

    def __init__(self, engine: str, timeout: float) -> None:
        self._scheme, _, self._place = engine.partition("://")
        super().__init__("localhost" if self._scheme == "unix" else self._place, timeout=timeout)

    def connect(self) -> None:
        if self._scheme != "unix":
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._place)


def parents() -> dict[int, int]:
    """The parent of each process; empty where there is no /proc."""
    found: dict[int, int] = {}
    with contextlib.suppress(FileNotFoundError):
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as stat:
                    found[int(entry)] = int(stat.read().rpartition(")")[2].split()[1])
    return found


def descendants(pid: int) -> list[int]:
    """All processes below `pid`: some servers (PostgreSQL) give each child a process group of its own."""
    children: dict[int, list[int]] = {}
    for child, parent in parents().items():
        children.setdefault(parent, []).append(child)
    found, ahead = [], [pid]
    while ahead:
        below = children.get(ahead.pop(), [])
        found += below
        ahead += below
    return found


def signal_tree(pid: int, number: int) -> None:
    """Sends a signal to the process group of `pid` and to everything below it."""
    below = descendants(pid)
    with contextlib.suppress(OSError):
        os.killpg(pid, number)
    for child in below:
        with contextlib.suppress(OSError):
            os.kill(child, number)


def end_tree(pid: int) -> None:
    """Kills a process and everything below it, and waits for what is below: PostgreSQL does not start while a session of its
    predecessor holds the shared memory. The first is stopped before, so that it starts nothing behind our back."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGSTOP)
    below = descendants(pid)
    signal_tree(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(map(lives, below)) and time.monotonic() < deadline:
        time.sleep(0.01)


def lives(pid: int) -> bool:
    """Whether a process runs. One that nobody has asked for its exit code does not."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def remove_folder(path: str) -> None:
    """Removes a folder; a server that has just been killed may still be writing its last file."""
    for _ in range(20):
        shutil.rmtree(path, ignore_errors=True)
        if not os.path.exists(path):
            return
        time.sleep(0.1)


def remove_container(where: str) -> None:
    """Removes a container and its volumes, running or not: the engine's address, then the container's name."""
    engine, _, name = where.partition(" ")
    connection = EngineConnection(engine, timeout=60)
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("DELETE", f"/containers/{name}?force=true&v=true")
        connection.getresponse().read()
    connection.close()


def end_engine(folder: str) -> None:
    """Ends whatever runs from `folder`, also what its daemon no longer knows, and frees what is mounted there."""
    for pid in _processes_of(folder):
        signal_tree(pid, signal.SIGKILL)
    while _processes_of(folder):
        time.sleep(0.05)
    with open("/proc/self/mounts") as mounts:
        places = [line.split()[1] for line in mounts]
    for place in sorted((one for one in places if one.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", place], check=False)


def _processes_of(folder: str) -> list[int]:
    """Processes that name `folder` in their command line, and live."""
    found = []
    for pid in parents():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as line:
            if folder.encode() in line.read():
                found.append(pid)
    return found


def remove_device(name: str) -> None:
    """Removes a network device."""
    subprocess.run(["ip", "link", "delete", name], stderr=subprocess.DEVNULL, check=False)


# In this order: what is removed must not be in use any more.
UNDO = {
    "group": lambda pid: signal_tree(int(pid), signal.SIGKILL),
    "container": remove_container,
    "engine": end_engine,
    "device": remove_device,
    "folder": remove_folder,
}


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    held: dict[tuple[str, str], None] = {}
    for line in sys.stdin:
        verb, _, rest = line.strip().partition(" ")
        if verb == "forget":
            kind, _, what = rest.partition(" ")
            held.pop((kind, what), None)
        else:
            held[verb, rest] = None
    for kind, what in sorted(held, key=lambda pair: list(UNDO).index(pair[0])):
        UNDO[kind](what)


if __name__ == "__main__":
    main()
