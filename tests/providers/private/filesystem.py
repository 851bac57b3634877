"""A root file system, written as a tar stream: programs with the shared libraries that they need."""

from __future__ import annotations

import io
import os
import re
import stat
import subprocess
import tarfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

_USERS = "root:x:0:0:root:/:/bin/sh\npostgres:x:999:999::/data:/bin/sh\n"
_GROUPS = "root:x:0:\npostgres:x:999:\n"


class FileSystem:
    """Files are added once each; links of the source are followed, so that nothing points out of the image."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._tar = tarfile.open(fileobj=out, mode="w|")  # noqa: SIM115 - closed in __exit__
        self._there: set[str] = set()
        self._programs: list[str] = []

    def __enter__(self) -> Self:
        for folder in ("/tmp", "/data"):
            self.folder(folder, mode=0o1777)
        self._text("/etc/passwd", _USERS)
        self._text("/etc/group", _GROUPS)
        self._text("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            for library in _libraries(self._programs):
                self.add(Path(library), library)
            self._tar.close()
        self._out.close()

    def folder(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.mode, entry.uid, entry.gid = tarfile.DIRTYPE, mode, owner, owner
        self._tar.addfile(entry)

    def link(self, path: str, target: str) -> None:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(entry)

    def add(self, source: Path, target: str) -> None:
        """A file, or a folder with all that is in it."""
        if not source.is_dir():
            self._file(source, target)
            return
        for folder, _, names in os.walk(source, followlinks=True):
            for name in names:
                path = Path(folder, name)
                if path.is_file():  # and no dangling link
                    self._file(path, f"{target}/{path.relative_to(source)}")

    def _file(self, source: Path, target: str) -> None:
        if target in self._there:
            return
        self._there.add(target)
        real = Path(os.path.realpath(source))
        mode = stat.S_IMODE(real.stat().st_mode)
        with real.open("rb") as data:
            if data.read(4) == b"\x7fELF":
                self._programs.append(str(real))
            data.seek(0)
            entry = tarfile.TarInfo(target.lstrip("/"))
            entry.size, entry.mode = real.stat().st_size, mode | 0o444
            self._tar.addfile(entry, data)

    def _text(self, path: str, text: str) -> None:
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(text), 0o644
        self._tar.addfile(entry, io.BytesIO(text.encode()))


def _libraries(programs: list[str]) -> list[str]:
    """The shared libraries of programs and libraries, where their loader looks for them."""
    if not programs:
        return []
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True).stdout
    found = {os.path.normpath(match[1]) for match in re.finditer(r"(/\S+) \(0x", listed)}
    return sorted(found)
