"""What can be read in the memory of another process: as a debugger, or one who found a core dump, reads it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

_BLOCK = 1 << 22


def found_in(pid: int, secret: bytes) -> list[str]:
    """The regions of a process's memory, and its environment, that hold the secret as it is, or as UTF-16 or UTF-32."""
    forms = {secret, secret.decode().encode("utf-16-le"), secret.decode().encode("utf-32-le")}
    places = [name for name, data in _regions(pid) if any(form in data for form in forms)]
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    return places + (["environ"] if secret in environment else [])


def _regions(pid: int) -> Iterator[tuple[str, bytes]]:
    """Readable memory, a block at a time; blocks overlap so that nothing is cut in two."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            span, rights, *_, name = [*line.split(maxsplit=5), ""][:6]
            if "r" not in rights or re.match(r"\[(vvar|vsyscall)", name):
                continue
            start, end = (int(part, 16) for part in span.split("-"))
            for at in range(start, end, _BLOCK):
                try:
                    yield f"{span} {name}", os.pread(memory.fileno(), min(_BLOCK + 256, end - at), at)
                except OSError:
                    break  # a page that cannot be read, such as one of a device
