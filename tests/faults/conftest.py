from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .rig import Rig


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """A factory of rigs that are closed, and whose logs are shown when the test fails."""
    rigs: list[Rig] = []

    def build(science: str, **settings: Any) -> Rig:
        folder = tmp_path / f"rig{len(rigs)}"
        folder.mkdir()
        rigs.append(Rig(folder, science, **settings))
        return rigs[-1]

    yield build
    for one in rigs:
        one.close()
        for log in ("bridge.log", "runner.log"):
            print(f"--- {log}, its end\n" + "\n".join((one.folder / log).read_text().splitlines()[-40:]))
