"""The manifest of a trained model, and whether a class can still use that model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from pyrunner.errors import UserError
from pyrunner.schema import EventSchema, schema_of

FILE = "manifest.json"
FORMAT = 1
_BLOCK = 1 << 20


class Manifest(msgspec.Struct, kw_only=True):
    """All that is known of one version. `input` and `output` are field types by name, as `FieldSchema.type_name` writes them."""

    format: int = FORMAT
    name: str
    version: str
    model: str  # module:Class
    created: str  # RFC 3339, UTC
    files: dict[str, str]  # relative path -> sha256
    params: dict[str, Any]
    seed: int = 0
    input: dict[str, str]
    output: dict[str, str]
    metrics: dict[str, float] = {}
    baseline: dict[str, float] = {}  # the same metrics of predicting the mean
    rows: int = 0  # of history
    seconds: float = 0.0  # of fit
    git_commit: str = ""  # "-dirty" at its end where files had changed
    config_hash: str = ""
    libraries: dict[str, str] = {}


def read(folder: Path) -> Manifest:
    """The manifest of a version's folder. A UserError says what is wrong with it."""
    path = folder / FILE
    try:
        return parsed(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise UserError(f"{folder} has no {FILE}: it is no trained model, or its files were moved") from None


def parsed(data: bytes, path: str) -> Manifest:
    """The manifest in these bytes; `path` is what messages call them."""
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as e:
        raise UserError(f"{path} is damaged ({e}). Restore it, or train again") from None
    if manifest.format > FORMAT:
        raise UserError(
            f"{path} was written by a newer ds-runner (format {manifest.format}). Upgrade this one"
        )
    return manifest


def write(manifest: Manifest, folder: Path) -> None:
    data = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (folder / FILE).write_bytes(data + b"\n")


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file below a version's folder, but for the manifest itself."""
    return {
        path.relative_to(folder).as_posix(): sha256(path) for path in _files(folder) if path != folder / FILE
    }


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise UserError(
                f"{path} is no plain file. A trained model holds only files that its manifest names"
            )
        if path.is_file():
            yield path


def check_files(manifest: Manifest, folder: Path) -> None:
    """Refuse a folder whose files are not exactly those that were written when the model was trained."""
    found = hashes(folder)
    missing = sorted(manifest.files.keys() - found.keys())
    extra = sorted(found.keys() - manifest.files.keys())
    changed = sorted(
        name for name in manifest.files.keys() & found.keys() if manifest.files[name] != found[name]
    )
    problems = [f"{folder / name} is missing" for name in missing]
    problems += [f"{folder / name} is not in the manifest" for name in extra]
    problems += [
        f"{folder / name} is not the file that was trained: its hash is not in the manifest"
        for name in changed
    ]
    if problems:
        raise UserError(
            "\n".join(f"{p}. Restore it, train again, or pin another model with --model" for p in problems)
        )


def check_fit(manifest: Manifest, cls: type[Any]) -> list[str]:
    """What stands between a trained model and the class as it is now, each `trained with ..., the class now ...`."""
    from pyrunner.signature import event_classes

    taken, given = event_classes(cls)
    problems = []
    trained_as = manifest.model.rpartition(":")[2]
    if trained_as != cls.__qualname__:
        problems.append(f"is a {trained_as}, the program's class is {cls.__qualname__}")
    problems += _changes(manifest.input, schema_of(taken))
    problems += _changes(manifest.output, schema_of(given))
    return problems


def _changes(trained: dict[str, str], schema: EventSchema) -> list[str]:
    """Changed and lost fields, and new ones that every event has: a new optional field may be ignored."""
    now = schema.types()
    changes = [
        f"was trained with {name}: {kind}, the class now has {_short(now[name], kind)}"
        for name, kind in trained.items()
        if name in now and now[name] != kind
    ]
    changes += [
        f"was trained with {name}, {schema.name} no longer has it" for name in trained if name not in now
    ]
    new = [field.name for field in schema if field.required and field.name not in trained]
    return changes + [f"was trained without {name}, which {schema.name} now requires" for name in new]


def _short(now: str, before: str) -> str:
    """Without the `| null` that both have."""
    return now.removesuffix(" | null") if before.endswith(" | null") and now.endswith(" | null") else now
