"""Trained models in a bucket, reached through the bridge: a pod gets its model where it gets everything else.

    NAME/files/SHA256         the files of all versions, by their hash: written once, never changed, shared by versions
    NAME/versions/N.json      the manifest of version N, which names its files; written last, so a version is there as a whole
    NAME/aliases/ALIAS        a number

What is used is kept in a folder as a version of the store on disk, and is compared with the bucket's manifest each time. Large files
come in parts, and a transfer that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import builtins
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from pyrunner.data import Access, DataError
from pyrunner.data.objects import Objects
from pyrunner.errors import UserError
from pyrunner.model import Model
from pyrunner.models import manifest as manifests
from pyrunner.models.manifest import Manifest
from pyrunner.models.store import LATEST, Loaded, ModelStore, Version, check_alias

_TIMEOUT = 30.0
_NUMBERS = 100  # that others may take before a training has one


class RemoteStore(ModelStore):
    """A store in the bucket of a connection; `cache` is a folder for what was fetched. Safe to use from several processes.

    `reach` opens the way to the bridge; it is held open through each public call. Of two trainings that end at the same
    moment one takes the next number. Raises DataError where the bucket cannot be asked.
    """

    def __init__(
        self, cache: Path, connection: str, reach: Callable[[], AbstractContextManager[Access]]
    ) -> None:
        super().__init__(cache)
        self._connection = connection
        self._reach = reach
        self._open: Objects | None = None

    @contextmanager
    def session(self) -> Iterator[Objects]:
        """The bucket; one way to it for all calls within."""
        if self._open is not None:
            yield self._open
            return
        with self._reach() as access:
            self._open = Objects(access, self._connection)
            try:
                yield self._open
            finally:
                self._open = None

    def save(self, name: str, model: Model[Any, Any], **known: Any) -> Version:
        with self.session():
            return super().save(name, model, **known)

    def load(
        self, name: str, ref: str = LATEST, cls: type[Model[Any, Any]] | None = None, **given: Any
    ) -> Loaded:
        with self.session():
            return super().load(name, ref, cls, **given)

    def version(self, name: str, ref: str = LATEST) -> Version:
        """The version that a number or alias names, fetched where it is not here yet."""
        with self.session():
            number = self.resolve(name, ref)
            path = self._fetched(name, number)
            return Version(name, number, path, manifests.read(path))

    def resolve(self, name: str, ref: str = LATEST) -> str:
        with self.session():
            return super().resolve(name, ref)

    def list(self, name: str) -> builtins.list[Version]:
        """All versions, oldest first. Their files are not fetched: `path` is where they will be."""
        with self.session():
            home = self._home(name)
            return [
                Version(name, str(n), home / str(n), self._manifest(name, str(n)))
                for n in self._numbers(name)
            ]

    def names(self) -> builtins.list[str]:
        with self.session() as bucket:
            found = (o.key.split("/") for o in bucket.list("", timeout=_TIMEOUT))
            return sorted({parts[0] for parts in found if parts[1:2] == ["versions"]})

    def aliases(self, name: str) -> dict[str, str]:
        with self.session() as bucket:
            prefix = f"{name}/aliases/"
            keys = [o.key for o in bucket.list(prefix, timeout=_TIMEOUT)]
            found = {key.removeprefix(prefix): bucket.get(key).decode().strip() for key in keys}
        return dict(sorted(found.items(), key=lambda item: (item[0] != LATEST, item[0])))

    def alias(self, name: str, alias: str, version: str) -> None:
        check_alias(alias)
        with self.session() as bucket:
            bucket.put(f"{name}/aliases/{alias}", self.resolve(name, version).encode() + b"\n")

    def _numbers(self, name: str) -> builtins.list[int]:
        prefix = f"{self._home(name).name}/versions/"
        with self.session() as bucket:
            stems = (
                o.key.removeprefix(prefix).removesuffix(".json")
                for o in bucket.list(prefix, timeout=_TIMEOUT)
            )
            return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _publish(self, draft: Path, home: Path, manifest: Manifest) -> Version:
        """Files first, the manifest last; then the draft is what would have been fetched."""
        with self.session() as bucket:
            for file, digest in manifest.files.items():
                key = f"{manifest.name}/files/{digest}"
                if not bucket.exists(key, timeout=_TIMEOUT):
                    bucket.upload(draft / file, key)
            self._number(bucket, draft, manifest)
        return Version(manifest.name, manifest.version, _placed(draft, home / manifest.version), manifest)

    def _number(self, bucket: Objects, draft: Path, manifest: Manifest) -> None:
        """Take the next number, which writes the manifest. Another training may be faster, and then there is one more."""
        for _ in range(_NUMBERS):
            manifest.version = str(max(self._numbers(manifest.name), default=0) + 1)
            manifests.write(manifest, draft)
            key = _manifest_key(manifest.name, manifest.version)
            if _took(bucket, key, (draft / manifests.FILE).read_bytes()):
                return
        raise UserError(
            f"{self._shown()} refuses {key}, because there is one, and does not list it. Remove what has that name there"
        )

    def _fetched(self, name: str, number: str) -> Path:
        """The folder of a version, whose manifest is the bucket's. One process fetches, others wait for it."""
        path = self._home(name) / number
        with self.session() as bucket, _locked(path.parent):
            told = bucket.get(_manifest_key(name, number))
            if _holds(path, told):
                return path
            draft = self._home(name) / f".fetch-{number}"  # stays after an interruption, and is gone on with
            draft.mkdir(exist_ok=True)
            for file, digest in manifests.parsed(
                told, f"{_manifest_key(name, number)} of {self._shown()}"
            ).files.items():
                target = _inside(draft, file)
                if not _is(target, digest):
                    bucket.download(f"{name}/files/{digest}", target)
                    self._refuse_other(target, digest)
            (draft / manifests.FILE).write_bytes(told)
            return _placed(draft, path)

    def _refuse_other(self, target: Path, digest: str) -> None:
        """What the manifest does not name is not loaded, and not kept: loading runs code."""
        if not _is(target, digest):
            target.unlink()
            raise UserError(
                f"{target.name} in {self._shown()} is not the file that was trained: its hash is not in the manifest. "
                "Restore it, train again, or pin another model with --model"
            )

    def _manifest(self, name: str, number: str) -> Manifest:
        with self.session() as bucket:
            key = _manifest_key(name, number)
            return manifests.parsed(bucket.get(key), f"{key} of {self._shown()}")

    def _shown(self) -> str:
        return f"the bucket {self._connection}"


def _manifest_key(name: str, number: str) -> str:
    return f"{name}/versions/{number}.json"


def _took(bucket: Objects, key: str, data: bytes) -> bool:
    """Whether a new object is this one. It may be there although we were refused, when the answer to our first try was lost; and
    another's may be there although we were not, in a service that knows no condition."""
    refused = False
    try:
        bucket.put(key, data, new=True)
    except DataError as error:
        refused = error.code == "exists"
        if not refused:
            raise
    there = bucket.head(key, timeout=_TIMEOUT)
    digest = None if there is None else there.sha256
    return digest == hashlib.sha256(data).hexdigest() or (digest is None and not refused)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Within, no other process is here. The lock ends with its holder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _holds(path: Path, manifest: bytes) -> bool:
    try:
        return (path / manifests.FILE).read_bytes() == manifest
    except OSError:
        return False


def _is(file: Path, digest: str) -> bool:
    return file.is_file() and manifests.sha256(file) == digest


def _inside(folder: Path, file: str) -> Path:
    """The place of a file that a manifest names. A bucket is somebody else's: no name may lead out of the folder."""
    target = (folder / file).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise UserError(f"a manifest names the file {file}, which is outside of its model. Train again")
    return target


def _placed(draft: Path, path: Path) -> Path:
    """Move a whole version to its place; an older one there was another bucket's, and one just placed is the same."""
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=".old-", dir=path.parent))
        os.rename(path, old / path.name)
        shutil.rmtree(old, ignore_errors=True)
    os.rename(draft, path)
    return path
