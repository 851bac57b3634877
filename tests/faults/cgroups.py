"""A limit of the kernel's on the memory of a process, on whatever this machine has: cgroups of version 1 or 2.

The group is made where it may be: below our own, else below one of its parents (a group of version 2 that has processes
gives its children no memory of their own), else in a hierarchy that is mounted for it; as we are, else by `sudo -n`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_MAKE = {  # $1 is the group, $2 its limit; the shell enters it, to see that others can
    1: """mkdir "$1" || exit 1
      { echo "$2" > "$1/memory.limit_in_bytes" && sh -c 'echo $$ > "$1/cgroup.procs"' sh "$1"; } || { rmdir "$1"; exit 1; }
      if [ -e "$1/memory.memsw.limit_in_bytes" ]; then echo "$2" > "$1/memory.memsw.limit_in_bytes"; fi""",
    2: """echo +memory > "${1%/*}/cgroup.subtree_control"
      mkdir "$1" || exit 1
      { echo "$2" > "$1/memory.max" && sh -c 'echo $$ > "$1/cgroup.procs"' sh "$1"; } || { rmdir "$1"; exit 1; }
      if [ -e "$1/memory.swap.max" ]; then echo 0 > "$1/memory.swap.max"; fi""",
}
_MOUNT = {
    1: 'mount -t cgroup -o memory none "$1"',
    2: 'mount -t cgroup2 none "$1" && grep -qw memory "$1/cgroup.controllers" || { umount "$1"; exit 1; }',
}
_MOST = 8  # parents that are tried


@dataclass(frozen=True)
class Hierarchy:
    """Where the memory of processes is counted, and which group there is ours."""

    version: int
    mount: Path
    ours: Path

    def parents(self) -> list[Path]:
        """Our group and those above it, as far as they can be seen."""
        above = [self.ours, *self.ours.parents][:_MOST]
        return [group for group in above if group == self.mount or self.mount in group.parents]


@dataclass(frozen=True)
class Group:
    """Processes whose memory together is limited."""

    path: Path

    def take(self, pid: int) -> None:
        """A process, and what it starts from now on."""
        assert _done('echo "$2" > "$1/cgroup.procs"', self.path, pid), f"{pid} cannot be moved to {self.path}"

    def remove(self) -> None:
        """Once it is empty: what was killed takes a moment to be gone."""
        emptied = 'for _ in 1 2 3 4 5 6 7 8 9 10; do rmdir "$1" && exit; sleep 0.2; done; exit 1'
        assert _done(emptied, self.path), f"{self.path} cannot be removed"


@contextmanager
def memory_group(limit: int) -> Iterator[Group | None]:
    """A new group with a limit in bytes, without swap; None where the kernel gives us none."""
    with _mounted() as mounted:
        group = next(filter(None, (_make(h, limit) for h in [*hierarchies(), *mounted])), None)
        try:
            yield group
        finally:
            if group is not None:
                group.remove()


def _make(hierarchy: Hierarchy, limit: int) -> Group | None:
    for parent in hierarchy.parents():
        path = parent / f"faults-{os.getpid()}"
        if _done(_MAKE[hierarchy.version], path, limit):
            return Group(path)
    return None


def hierarchies(proc: Path = Path("/proc/self")) -> list[Hierarchy]:
    """Those that are mounted, and know memory or may be told to."""
    groups = {}
    for line in (proc / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "memory" in controllers.split(","):
            groups[2 if not controllers else 1] = path.lstrip("/")
    found = []
    for line in (proc / "mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        version = {"cgroup": 1, "cgroup2": 2}.get(kind)
        if version not in groups or (version == 1 and "memory" not in options.split(",")):
            continue
        mount = Path(place)
        ours = mount / groups[version]
        found.append(
            Hierarchy(version, mount, ours if ours.is_dir() else mount)
        )  # a container sees its part alone
    return sorted(found, key=lambda hierarchy: hierarchy.version)


@contextmanager
def _mounted() -> Iterator[Iterator[Hierarchy]]:
    """Hierarchies that are mounted when they are asked for, and no longer."""
    places: list[Path] = []

    def mount() -> Iterator[Hierarchy]:
        for version, command in _MOUNT.items():
            place = Path(tempfile.mkdtemp(prefix="faults-cgroup-"))
            places.append(place)
            if _done(command, place):
                yield Hierarchy(version, place, place)

    try:
        yield mount()
    finally:
        for place in places:
            _done('umount "$1"', place)
            place.rmdir()


def _done(script: str, *arguments: object) -> bool:
    """Whether a shell could do it: ours, or that of an administrator who asks for no password."""
    as_others = [["sudo", "-n"]] if os.geteuid() and shutil.which("sudo") else []
    return any(
        subprocess.run(
            [*who, "/bin/sh", "-c", script, "sh", *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        ).returncode == 0
        for who in ([], *as_others)
    )  # fmt: skip
