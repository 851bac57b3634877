"""`ModelStore`: versions are written once and never changed; what moves is aliases.

A version is made in a hidden folder beside the others, synced, and renamed to its number: it is there as a whole or not at all,
and of two that want the same number one takes the next. An alias is a file with a number in it, replaced by a rename.
"""

from __future__ import annotations

import builtins
import dataclasses
import datetime
import errno
import importlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from pyrunner.errors import UserError
from pyrunner.model import Model, overrides, seed_everything
from pyrunner.models import manifest as manifests
from pyrunner.models.manifest import Manifest
from pyrunner.models.payload import refuse_main
from pyrunner.models.provenance import git_commit, libraries
from pyrunner.schema import schema_of
from pyrunner.signature import event_classes

LATEST = "latest"
UNTRAINED = "untrained"
SAMPLE = "sample.jsonl"

_ALIASES = "aliases"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


@dataclasses.dataclass(frozen=True)
class Version:
    """One trained model on disk."""

    name: str
    version: str
    path: Path
    manifest: Manifest


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A model ready to answer. `manifest` is None for a class that needs no training."""

    model: Model[Any, Any]
    version: str
    manifest: Manifest | None = None
    sample: tuple[bytes, ...] = ()  # JSON events, for Scorer.warm_up


class ModelStore:
    """The models below one folder, usually `models/` beside program.yaml. Safe to use from several processes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def save(
        self,
        name: str,
        model: Model[Any, Any],
        *,
        metrics: Mapping[str, float] | None = None,
        baseline: Mapping[str, float] | None = None,
        rows: int = 0,
        seconds: float = 0.0,
        config_hash: str = "",
        sample: Sequence[bytes] = (),
        aliases: Iterable[str] = (LATEST,),
    ) -> Version:
        """Write a model as the next version and point the aliases at it.

        Raises UserError when the model cannot be saved; nothing is left behind then.
        """
        cls = type(model)
        _refuse_main_class(cls)
        home = self._home(name)
        home.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
        try:
            draft.chmod(0o755)
            model.save(draft)
            refuse_main(draft)
            if sample:
                (draft / SAMPLE).write_bytes(b"".join(line + b"\n" for line in sample))
            taken, given = event_classes(cls)
            manifest = Manifest(
                name=name,
                version="",
                model=f"{cls.__module__}:{cls.__qualname__}",
                created=datetime.datetime.now(datetime.UTC)
                .isoformat(timespec="seconds")
                .replace("+00:00", "Z"),
                files=manifests.hashes(draft),
                params=msgspec.to_builtins(model.params),
                seed=model.seed,
                input=schema_of(taken).types(),
                output=schema_of(given).types(),
                metrics=dict(metrics or {}),
                baseline=dict(baseline or {}),
                rows=rows,
                seconds=round(seconds, 3),
                git_commit=git_commit(cls),
                config_hash=config_hash,
                libraries=libraries(),
            )
            version = self._publish(draft, home, manifest)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        for alias in aliases:
            self.alias(name, alias, version.version)
        return version

    def load(
        self,
        name: str,
        ref: str = LATEST,
        cls: type[Model[Any, Any]] | None = None,
        *,
        params: Any = None,
        seed: int = 0,
    ) -> Loaded:
        """The model that a version or alias names, ready to answer, with the params and seed that it was trained with.

        `cls` is the program's class, which the version must fit; without it the class that the manifest names is imported. A class
        without a `fit` of its own that was never trained is made with `params` and `seed`, as version "untrained".
        Raises UserError, with the fix, for what is missing, changed on disk, or does not fit.
        """
        if cls is not None and not overrides(cls, "fit") and ref == LATEST and not self._numbers(name):
            return Loaded(cls(params, seed=seed), UNTRAINED)
        version = self.version(name, ref)
        manifests.check_files(version.manifest, version.path)
        cls = cls or _imported(version)
        self._refuse_misfit(version, cls)
        refuse_main(version.path)
        return Loaded(_made(cls, version), version.version, version.manifest, _sample(version))

    def version(self, name: str, ref: str = LATEST) -> Version:
        """The version that a number or alias names, without loading it."""
        number = self.resolve(name, ref)
        path = self._home(name) / number
        return Version(name, number, path, manifests.read(path))

    def resolve(self, name: str, ref: str = LATEST) -> str:
        """The number of a version or alias."""
        numbers, aliases = self._numbers(name), self.aliases(name)
        if not numbers:
            raise UserError(f"no trained model for {name} in {self._shown()}. Run: ds-runner train")
        number = aliases.get(ref, ref)
        if number.isdecimal() and int(number) in numbers:
            return number
        known = ", ".join(map(str, numbers[-20:]))
        moved = ", ".join(f"{a} -> {v}" for a, v in aliases.items())
        raise UserError(
            f"no model {ref} of {name} in {self._shown()}. Versions: {known}."
            + (f" Aliases: {moved}." if moved else "")
        )

    def list(self, name: str) -> builtins.list[Version]:
        """All versions, oldest first."""
        home = self._home(name)
        return [
            Version(name, str(n), home / str(n), manifests.read(home / str(n))) for n in self._numbers(name)
        ]

    def names(self) -> builtins.list[str]:
        """The models that have a version."""
        if not self.root.is_dir():
            return []
        return sorted(
            p.name for p in self.root.iterdir() if _NAME.fullmatch(p.name) and self._numbers(p.name)
        )

    def aliases(self, name: str) -> dict[str, str]:
        """Alias to version number; `latest` first."""
        folder = self._home(name) / _ALIASES
        if not folder.is_dir():
            return {}
        found = {p.name: p.read_text().strip() for p in sorted(folder.iterdir()) if _NAME.fullmatch(p.name)}
        return dict(sorted(found.items(), key=lambda item: (item[0] != LATEST, item[0])))

    def alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version (a number or another alias), at one moment for all readers."""
        check_alias(alias)
        number = self.resolve(name, version)
        folder = self._home(name) / _ALIASES
        folder.mkdir(exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=".draft-", dir=folder)
        with os.fdopen(handle, "w") as file:
            file.write(number + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, folder / alias)
        _sync_folder(folder)

    def _home(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise UserError(f'"{name}" cannot be the name of a model. Use letters, digits, ".", "_" and "-"')
        return self.root / name

    def _numbers(self, name: str) -> builtins.list[int]:
        home = self._home(name)
        if not home.is_dir():
            return []
        return sorted(int(p.name) for p in home.iterdir() if p.name.isdecimal() and p.is_dir())

    def _publish(self, draft: Path, home: Path, manifest: Manifest) -> Version:
        """Rename the draft to the next free number. A folder cannot be renamed onto one that is not empty, so nobody is overwritten."""
        while True:
            number = str(max(self._numbers(manifest.name), default=0) + 1)
            manifest.version = number
            manifests.write(manifest, draft)
            _sync_tree(draft)
            try:
                os.rename(draft, home / number)
            except OSError as e:
                if e.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    continue
                raise
            _sync_folder(home)
            return Version(manifest.name, number, home / number, manifest)

    def _refuse_misfit(self, version: Version, cls: type[Any]) -> None:
        problems = manifests.check_fit(version.manifest, cls)
        if not problems:
            return
        other = self._newest_fitting(version, cls)
        fix = f"Retrain, or pin --model {other}" if other else "Retrain: ds-runner train"
        raise UserError("\n".join(f"model {version.version} {p}. {fix}" for p in problems))

    def _newest_fitting(self, version: Version, cls: type[Any]) -> str | None:
        for candidate in reversed(self.list(version.name)):
            if candidate.version != version.version and not manifests.check_fit(candidate.manifest, cls):
                return candidate.version
        return None

    def _shown(self) -> str:
        """The folder as it is read from where the user is."""
        with suppress(ValueError):
            return f"{self.root.resolve().relative_to(Path.cwd())}/"
        return f"{self.root}/"


def check_alias(alias: str) -> None:
    """Refuse what could be taken for a number or a path."""
    if not _NAME.fullmatch(alias) or alias.isdecimal():
        raise UserError(
            f'"{alias}" cannot be an alias. Use letters, digits, ".", "_" and "-", and not only digits'
        )


def _made(cls: type[Model[Any, Any]], version: Version) -> Model[Any, Any]:
    manifest = version.manifest
    try:
        model = cls(manifest.params, seed=manifest.seed)
    except UserError as e:
        raise UserError(
            f"model {version.version} does not fit {cls.__name__} any more: {str(e).rstrip('.')}. Retrain: ds-runner train"
        ) from None
    seed_everything(manifest.seed)
    loaded = model.load(version.path)
    return loaded if isinstance(loaded, Model) else model  # load may be a classmethod


def _sample(version: Version) -> tuple[bytes, ...]:
    if SAMPLE not in version.manifest.files:
        return ()
    return tuple((version.path / SAMPLE).read_bytes().splitlines())


def _imported(version: Version) -> type[Model[Any, Any]]:
    module, _, qualname = version.manifest.model.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as e:
        raise UserError(
            f"model {version.version} is a {version.manifest.model}, which cannot be imported: {e}"
        ) from None
    return found  # type: ignore[no-any-return]


def _refuse_main_class(cls: type[Any]) -> None:
    if cls.__module__ == "__main__":
        raise UserError(
            f"{cls.__name__} is defined in a script or notebook (__main__) and cannot be found from anywhere else. Move it into a "
            "module of the program and import it from there"
        )


def _sync_tree(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        _sync_folder(path)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
