"""Under what a worker scores: model, code, libraries, threads. Told in HELLO beside the schemas, kept by tapes, compared by replays.

No credentials are in it: of the environment's variables only those that set the number of threads.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pyrunner.models.provenance import head_commit, libraries
from pyrunner.protocol.frames import MAX_DESCRIBE
from pyrunner.runtime.environment import THREADS

if TYPE_CHECKING:
    from pyrunner.models import Loaded

LOCKS = (
    "uv.lock",
    "pylock.toml",
    "poetry.lock",
    "pdm.lock",
    "Pipfile.lock",
    "conda-lock.yml",
    "requirements.lock",
    "requirements.txt",
)


class Environment(msgspec.Struct):
    """What can change an answer. Hashes are sha256 in hex; an empty text is something that is not there."""

    model: str = ""  # version
    model_hash: str = ""  # of all its files
    seed: int = 0
    code: str = ""  # of the project's modules that are imported
    commit: str = ""
    lock: str = ""  # name of the lock file
    lock_hash: str = ""
    installed: str = ""  # of the names and versions of all distributions
    libraries: dict[str, str] = {}
    threads: dict[str, str] = {}
    machine: str = ""


def environment_of(folder: Path, trained: Loaded) -> Environment:
    """The environment of this process, which has loaded a model of the project in `folder`."""
    lock = lock_file(folder)
    manifest = trained.manifest
    return Environment(
        model=trained.version,
        model_hash="" if manifest is None else _digest(f"{n} {h}" for n, h in sorted(manifest.files.items())),
        seed=trained.model.seed,
        code=code_hash(folder),
        commit=head_commit(folder),
        lock="" if lock is None else lock.name,
        lock_hash="" if lock is None else hashlib.sha256(lock.read_bytes()).hexdigest(),
        installed=_digest(sorted(_distributions())),
        libraries=libraries(),
        threads={name: os.environ[name] for name in THREADS if name in os.environ},
        machine=f"{platform.system()} {platform.machine()}",
    )


def described(schemas: bytes, environment: Environment) -> bytes:
    """The schemas that HELLO carries, with the environment where there is room for it."""
    whole = msgspec.json.decode(schemas or b"{}", type=dict[str, msgspec.Raw])
    whole["environment"] = msgspec.Raw(msgspec.json.encode(environment))
    data = msgspec.json.encode(whole)
    return data if len(data) <= MAX_DESCRIBE else schemas


class _Described(msgspec.Struct):
    environment: Environment = msgspec.field(default_factory=Environment)


def environment_in(describe: bytes) -> Environment:
    """The environment that a HELLO told; an empty one where it told none."""
    try:
        return msgspec.json.decode(describe or b"{}", type=_Described).environment
    except msgspec.DecodeError:
        return Environment()


def environment_from(value: object) -> Environment:
    """The environment in a report, which is JSON already; an empty one where there is none."""
    try:
        return msgspec.convert(value or {}, Environment)
    except msgspec.ValidationError:
        return Environment()


def differences(recorded: Environment, now: Environment) -> list[str]:
    """What is not as it was, each in a few words: `numpy 1.26.4, now 2.0.1`."""
    found = []
    if recorded.model != now.model:
        found.append(f"model {recorded.model or '?'}, now {now.model or '?'}")
    elif recorded.model_hash != now.model_hash:
        found.append(f"model {now.model} has other files")
    if recorded.seed != now.seed:
        found.append(f"seed {recorded.seed}, now {now.seed}")
    if recorded.code != now.code:
        found.append(f"code {version_of(recorded)}, now {version_of(now)}")
    if (recorded.lock, recorded.lock_hash) != (now.lock, now.lock_hash):
        found.append(f"lock file {_lock(recorded)}, now {_lock(now)}")
    found += _changes(recorded.libraries, now.libraries)
    if recorded.installed != now.installed and recorded.libraries == now.libraries:
        found.append("other packages are installed")
    found += _changes(recorded.threads, now.threads)
    if recorded.machine != now.machine:
        found.append(f"machine {recorded.machine or '?'}, now {now.machine or '?'}")
    return found


def version_of(environment: Environment) -> str:
    """The code's version as people are told it: `1a2b3c4d (commit 5e6f7a8b)`."""
    if not environment.code:
        return "?"
    commit = f" (commit {environment.commit[:8]})" if environment.commit else ""
    return f"{environment.code[:8]}{commit}"


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    names = dict.fromkeys([*before, *now])
    return [
        f"{name} {before.get(name, 'absent')}, now {now.get(name, 'absent')}"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _lock(environment: Environment) -> str:
    return f"{environment.lock} {environment.lock_hash[:8]}" if environment.lock else "absent"


def lock_file(folder: Path) -> Path | None:
    """The project's lock file: beside program.yaml, or above up to the repository's root."""
    for place in (folder, *folder.parents):
        for name in LOCKS:
            if (place / name).is_file():
                return place / name
        if (place / ".git").exists():
            return None
    return None


def code_hash(folder: Path) -> str:
    """A hash of the modules below a folder that this process has imported; empty when there are none."""
    files = sorted(set(_sources(folder)))
    if not files:
        return ""
    return _digest(
        f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in files
    )


def _sources(folder: Path) -> Iterator[Path]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.startswith(f"{folder}{os.sep}"):
            continue
        path = Path(file)
        if "site-packages" not in path.parts and path.is_file():
            yield path


def _distributions() -> Iterator[str]:
    """`name-version` of what is installed, by the names of folders: reading each one's metadata takes a second."""
    for place in dict.fromkeys(sys.path):
        try:
            names = os.listdir(place or ".")
        except OSError:
            continue
        yield from (name.removesuffix(".dist-info") for name in names if name.endswith(".dist-info"))


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
