"""`ctx.objects(name)`: large things of a connection, moved in parts of 4 MiB.

A few parts are on their way at once; none is held longer than it takes to write it. What is read is compared with the hash
that its writer announced, and a download that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from pyrunner.data.access import Access, Asked
from pyrunner.data.errors import DataError

TIMEOUT = 5.0
PART_TIMEOUT = 30.0
PART = 4 << 20
_AHEAD = 3  # parts on their way beside the one that is worked on
_TRIES = 3  # of one part that failed for a reason that may pass

Source = bytes | BinaryIO


@dataclass(frozen=True)
class ObjectInfo:
    """What is known of an object. `sha256` is None where it was not written through ds-runner."""

    key: str
    size: int
    sha256: str | None = None


class Objects:
    """The objects of one connection; keys are paths with slashes. `timeout` is in seconds, of each call or part.

    Raises DataError; its code is "not_found" where there is no such object. In predict, `put` waits for the answers and takes
    at most 4 MiB, and nothing else may be written.
    """

    def __init__(self, access: Access, con: str) -> None:
        self._what = f'ctx.objects("{con}")'
        self._access = access
        self._con = access.named(self._what, con)

    def head(self, key: str, *, timeout: float = TIMEOUT) -> ObjectInfo | None:
        """Size and hash, None where there is no such object."""
        found = self._access.ask(self._what, "objects.head", self._con, key, timeout=timeout)
        return None if found is None else ObjectInfo(key, found[0], found[1])

    def exists(self, key: str, *, timeout: float = TIMEOUT) -> bool:
        return self.head(key, timeout=timeout) is not None

    def list(self, prefix: str = "", *, timeout: float = TIMEOUT) -> Iterator[ObjectInfo]:
        """The objects whose keys begin with `prefix`, by key. Their hashes are not looked up."""
        after = ""
        while page := self._access.ask(self._what, "objects.list", self._con, prefix, after, timeout=timeout):
            yield from (ObjectInfo(key, size) for key, size in page)
            after = page[-1][0]

    def get(self, key: str, *, timeout: float = PART_TIMEOUT) -> bytes:
        """The whole object, its hash compared."""
        info = self._info(key, timeout)
        digest = hashlib.sha256()
        data = bytearray()
        for part in self._parts(info, 0, timeout):
            digest.update(part)
            data += part
        self._compare(info, len(data), digest.hexdigest())
        return bytes(data)

    def open(self, key: str, *, timeout: float = PART_TIMEOUT) -> io.BufferedReader:
        """The object as a file to read and seek in, a part at a time. Its hash is not compared."""
        return io.BufferedReader(_Reader(self, self._info(key, timeout), timeout), PART)

    def download(
        self,
        key: str,
        path: Path | str,
        *,
        timeout: float = PART_TIMEOUT,
        on_bytes: Callable[[int], None] = lambda n: None,
    ) -> Path:
        """The object in a file, which has its name only once it is whole and its hash is right.

        What an interrupted download has left beside it (`.NAME.HASH.partial`) is gone on with, where the hash is known to compare
        the whole with. `on_bytes` is told of each part.
        """
        path, info = Path(path), self._info(key, timeout)
        path.parent.mkdir(parents=True, exist_ok=True)
        mark = (info.sha256 or f"{info.size}")[:16]
        partial = path.with_name(f".{path.name}.{mark}.partial")
        digest, start = _resumed(partial, info.size if info.sha256 else 0)
        with partial.open("ab") as file:
            for part in self._parts(info, start, timeout):
                file.write(part)
                digest.update(part)
                on_bytes(len(part))
        try:
            self._compare(info, partial.stat().st_size, digest.hexdigest())
        except DataError:
            partial.unlink()  # else every later attempt would go on with it
            raise
        return partial.replace(path)

    def put(self, key: str, data: Source, *, new: bool = False, timeout: float = PART_TIMEOUT) -> ObjectInfo:
        """Store bytes, or what a binary file holds from its position on. Readers see it when it is whole.

        `new` asks that there is no such object: of several writers one succeeds, and the others get DataError "exists". Not in predict.
        """
        if (writes := self._access.writes) is None:
            return upload(self._access, self._what, self._con, key, data, timeout, new)
        if new:
            self._access.require_now(f"{self._what}.put of a new object", "Do it in a command of your own")
        held = data if isinstance(data, (bytes, bytearray, memoryview)) else data.read(PART + 1)
        if len(held) > PART:
            self._access.require_now(
                f"{self._what}.put of more than 4 MiB", "Publish a key, and store it from a command"
            )
        writes.put_object(self._con, key, bytes(held))
        return ObjectInfo(key, len(held), hashlib.sha256(held).hexdigest())

    def upload(self, path: Path | str, key: str, *, timeout: float = PART_TIMEOUT) -> ObjectInfo:
        """Store a file."""
        with Path(path).open("rb") as file:
            return self.put(key, file, timeout=timeout)

    def delete(self, key: str, *, timeout: float = TIMEOUT) -> None:
        """Delete an object. One that is not there is no error."""
        self._access.require_now(f"{self._what}.delete", "Do it in a command of your own")
        self._access.ask(self._what, "objects.delete", self._con, key, timeout=timeout)

    def part(self, info: ObjectInfo, offset: int, length: int, timeout: float) -> bytes:
        """Up to so many bytes of an object from an offset on, at most a part."""
        return self._taken(info, offset, length, self._asked(info.key, offset, length, timeout), timeout)

    def _info(self, key: str, timeout: float) -> ObjectInfo:
        info = self.head(key, timeout=timeout)
        if info is None:
            raise DataError(self._what, "not_found", f"no object {key}")
        return info

    def _parts(self, info: ObjectInfo, start: int, timeout: float) -> Iterator[bytes]:
        """The parts from an offset on, in order, some asked for ahead."""
        coming: deque[tuple[int, Asked]] = deque()
        ahead = start
        while start < info.size:
            while ahead < info.size and len(coming) <= _AHEAD:
                coming.append((ahead, self._asked(info.key, ahead, PART, timeout)))
                ahead += PART
            offset, asked = coming.popleft()
            part = self._taken(info, offset, PART, asked, timeout)
            if len(part) != min(PART, info.size - offset):
                raise self._changed(info)
            yield part
            start = offset + len(part)

    def _asked(self, key: str, offset: int, length: int, timeout: float) -> Asked:
        return self._access.begin(self._what, "objects.get", self._con, key, offset, length, timeout=timeout)

    def _taken(self, info: ObjectInfo, offset: int, length: int, asked: Asked, timeout: float) -> bytes:
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                data, size = asked.wait()
                break
            except DataError as error:
                if last or not error.retry:
                    raise
                asked = self._asked(info.key, offset, length, timeout)
        if size != info.size:
            raise self._changed(info)
        return bytes(data)

    def _changed(self, info: ObjectInfo) -> DataError:
        return DataError(self._what, "changed", f"{info.key} was replaced while it was read", retry=True)

    def _compare(self, info: ObjectInfo, size: int, digest: str) -> None:
        if size != info.size or (info.sha256 and digest != info.sha256):
            told = f"{info.key} is damaged: sha256 {digest}, written as {info.sha256}"
            raise DataError(
                self._what,
                "damaged",
                told if size == info.size else f"{info.key} has {size} bytes of {info.size}",
            )


class _Reader(io.RawIOBase):
    """One part at a time behind a BufferedReader."""

    def __init__(self, objects: Objects, info: ObjectInfo, timeout: float) -> None:
        self._objects, self._info, self._timeout = objects, info, timeout
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._info.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._info.size:
            return 0
        view = memoryview(buffer).cast("B")
        data = self._objects.part(self._info, self._at, min(PART, len(view)), self._timeout)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def upload(
    access: Access, what: str, con: str, key: str, data: Any, timeout: float, new: bool = False
) -> ObjectInfo:
    """Store an object in parts, a few on their way at once. One that fails leaves nothing behind."""
    source = data if hasattr(data, "read") else io.BytesIO(data)
    told = (*_announced(source), True) if new else _announced(source)
    number = access.ask(what, "objects.begin", con, key, *told, timeout=timeout)
    digest, size, count = hashlib.sha256(), 0, 0
    sent: deque[_Sent] = deque()
    try:
        while part := source.read(PART):
            digest.update(part)
            size, count = size + len(part), count + 1
            sent.append(_Sent(access, what, number, count, part, timeout))
            if len(sent) > _AHEAD:
                sent.popleft().settle()
        for one in sent:
            one.settle()
        access.ask(what, "objects.finish", number, size, digest.hexdigest(), timeout=timeout)
    except BaseException:
        with suppress(DataError):
            access.ask(what, "objects.abort", number, timeout=timeout)
        raise
    return ObjectInfo(key, size, digest.hexdigest())


def _announced(source: Any) -> tuple[int, str] | tuple[()]:
    """Size and hash of what is to come, nothing where it can be read only once. S3 keeps the hash of a large object only if it
    is told at the beginning."""
    if not (hasattr(source, "seekable") and source.seekable()):
        return ()
    start, digest = source.tell(), hashlib.sha256()
    while part := source.read(PART):
        digest.update(part)
    size = source.tell() - start
    source.seek(start)
    return size, digest.hexdigest()


class _Sent:
    """One part on its way, kept until it has arrived."""

    def __init__(
        self, access: Access, what: str, upload: int, number: int, data: bytes, timeout: float
    ) -> None:
        self._begin: Callable[[], Asked] = lambda: access.begin(
            what, "objects.part", upload, number, data, timeout=timeout
        )
        self._asked = self._begin()

    def settle(self) -> None:
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                self._asked.wait()
                return
            except DataError as error:
                if last or not error.retry:
                    raise
                self._asked = self._begin()


def _resumed(partial: Path, size: int) -> tuple[Any, int]:
    """The hash of what is there already, and its length; nothing where it cannot be a beginning."""
    digest = hashlib.sha256()
    try:
        start = partial.stat().st_size
    except FileNotFoundError:
        return digest, 0
    if start > size:
        partial.unlink()
        return digest, 0
    with partial.open("rb") as file:
        while block := file.read(PART):
            digest.update(block)
    return digest, start
