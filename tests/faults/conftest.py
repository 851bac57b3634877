from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.httpload.run import build

from .audits import Auditor
from .rig import Rig
from .service import Service
from .watch import WatchedRig


@pytest.fixture
def record(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Writes a row into the report of the faults: `record(kills=3, LOST=0)`, by the columns of report.py."""

    def write(**cells: object) -> None:
        record_property("ledger", cells)

    return write


@pytest.fixture
def rig(tmp_path: Path, record: Callable[..., None]) -> Iterator[Callable[..., Rig]]:
    """A factory of rigs that are closed, and whose logs are shown when the test fails. Each has its row in the report."""
    rigs: list[WatchedRig] = []

    def build(science: str, **settings: Any) -> Rig:
        rigs.append(WatchedRig(_folder(tmp_path, len(rigs)), science, **settings))
        return rigs[-1]

    yield build
    for one in rigs:
        _ended(one)
        record(**one.row())


@pytest.fixture(scope="session")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """httpload: clients that never send a request twice."""
    return build(tmp_path_factory.mktemp("httpload"))


@pytest.fixture
def service(tmp_path: Path, loader: Path) -> Iterator[Callable[..., Service]]:
    """A factory of pods that serve over HTTP, not started, which are ended as rigs are."""
    services: list[Service] = []

    def make(science: str, **settings: Any) -> Service:
        services.append(Service(_folder(tmp_path, len(services)), science, loader=loader, **settings))
        return services[-1]

    yield make
    for one in services:
        _ended(one)


def _folder(parent: Path, number: int) -> Path:
    folder = parent / f"rig{number}"
    folder.mkdir()
    return folder


def _ended(rig: WatchedRig) -> None:
    """Closed, with the ends of its logs for a test that failed."""
    rig.close()
    for log in ("bridge.log", "runner.log"):
        lines = (rig.folder / log).read_text(errors="replace").splitlines()[-40:]
        print(f"--- {log}, its end\n" + "\n".join(lines))


@pytest.fixture
def auditor(tmp_path: Path, record: Callable[..., None]) -> Auditor:
    """Runs `ds-runner audit`; each has its row in the report."""
    folder = tmp_path / "audit"
    folder.mkdir()
    return Auditor(folder, record)


@pytest.fixture(scope="session")
def faulty_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ds-bridge with the seeded bugs compiled in."""
    binary = tmp_path_factory.mktemp("faulty") / "ds-bridge"
    root = Path(__file__).parents[2]
    subprocess.run(
        ["go", "build", "-buildvcs=false", "-tags", "faults", "-o", binary, "./bridge_go/cmd/ds-bridge"],
        cwd=root,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    return binary


@pytest.fixture
def faulty_bridge(faulty_binary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_BRIDGE", str(faulty_binary))
