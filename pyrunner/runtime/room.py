"""How much memory a process has for itself, and how much this container or machine has left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MIB = 1 << 20
_SPARE = 64 * MIB  # for what is not counted: the page cache of a model's files, the start of Python
_KIB = re.compile(r"^(Pss|SwapPss|VmRSS|MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)


class Room(NamedTuple):
    """Bytes: the limit, and what of it is free."""

    limit: int
    free: int


def memory_of(pid: int, root: Path = Path("/")) -> int:
    """The bytes of a process, of shared pages its share; 0 where nothing is told."""
    if rollup := _read(root / f"proc/{pid}/smaps_rollup"):
        found = dict(_KIB.findall(rollup))
        return 1024 * (int(found.get("Pss", 0)) + int(found.get("SwapPss", 0)))
    status = dict(_KIB.findall(_read(root / f"proc/{pid}/status") or ""))
    return 1024 * int(status.get("VmRSS", 0))


def room(root: Path = Path("/")) -> Room | None:
    """The tightest of the machine's memory and the limits of our cgroups, inactive file pages being free; None where nothing is told."""
    found = [r for r in (_machine(root), *_cgroups(root)) if r is not None]
    return min(found, key=lambda r: r.free, default=None)


def refusal(workers: int, each: int, left: Room | None) -> str | None:
    """Why so many more workers of this size find no room, in figures; None if they do, or nobody knows."""
    if left is None or each == 0:
        return None
    needed = int(workers * each * 1.1) + _SPARE
    if needed <= left.free:
        return None
    return (
        f"{workers} more workers need about {needed // MIB} MiB, by the {each // MIB} MiB that one has now, and of "
        f"{left.limit // MIB} MiB {left.free // MIB} MiB are free"
    )


def _machine(root: Path) -> Room | None:
    told = dict(_KIB.findall(_read(root / "proc/meminfo") or ""))
    if "MemAvailable" not in told:
        return None
    return Room(1024 * int(told["MemTotal"]), 1024 * int(told["MemAvailable"]))


def _cgroups(root: Path) -> Iterator[Room | None]:
    mount = root / "sys/fs/cgroup"
    for line in (_read(root / "proc/self/cgroup") or "").splitlines():
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _upwards(
                mount, path, "memory.max", "memory.current", re.compile(r"^inactive_file (\d+)$", re.M)
            )
        elif "memory" in controllers.split(","):
            inactive = re.compile(r"^total_inactive_file (\d+)$", re.M)
            yield from _upwards(
                mount / "memory", path, "memory.limit_in_bytes", "memory.usage_in_bytes", inactive
            )


def _upwards(
    mount: Path, path: str, limit: str, used: str, inactive: re.Pattern[str]
) -> Iterator[Room | None]:
    """Of our group and those above it; in a container its own files are at the root of the mount."""
    folder = mount / path.lstrip("/")
    for group in (folder, *folder.parents):
        if not group.is_relative_to(mount):
            return
        most, now = _number(group / limit), _number(group / used)
        if most is not None and now is not None:
            idle = inactive.search(_read(group / "memory.stat") or "")
            yield Room(most, max(0, most - now + (int(idle[1]) if idle else 0)))


def _number(file: Path) -> int | None:
    text = (_read(file) or "").strip()
    return int(text) if text.isdecimal() else None


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None
