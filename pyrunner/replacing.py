"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pyrunner.errors import UserError


@contextmanager
def replacing(path: Path, example: str = "scored.parquet") -> Iterator[IO[bytes]]:
    """A file that gets its name when the block ends well, and leaves nothing when it does not."""
    if path.is_dir():
        raise UserError(f"{path} is a folder. Name a file: {path / example}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as f:
            yield f
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
