"""What is built or fetched once and used by every run after that."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path


def root() -> Path:
    """`DS_TEST_CACHE`, else the user's cache folder."""
    chosen = os.environ.get("DS_TEST_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(chosen) if chosen else home / "ds-runner-tests"


def cached(key: str, make: Callable[[Path], None]) -> Path:
    """The folder `key`, made by `make` when there is none yet: whole or not at all, by one process at a time."""
    folder = root() / key
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():  # somebody else made it meanwhile
            return folder
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        with contextlib.ExitStack() as undo:
            undo.callback(shutil.rmtree, scratch, ignore_errors=True)
            make(scratch)
            scratch.chmod(0o755)  # also read by servers that run as another user
            scratch.rename(folder)
    return folder
