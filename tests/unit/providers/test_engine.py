"""python -m tests.providers engine: what is done where no engine answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.providers import ComponentError
from tests.providers.containers import engine
from tests.providers.private import daemon, under_engine


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither one that answers, nor one that could be started."""

    @contextmanager
    def impossible() -> Iterator[str]:
        raise daemon.Impossible("the kernel has no overlay file system")
        yield

    monkeypatch.setenv("DOCKER_HOST", "tcp://elsewhere.example:2375")
    monkeypatch.setattr(daemon, "running", impossible)
    engine.address.cache_clear()
    yield
    engine.address.cache_clear()


def _marked(path: Path) -> list[str]:
    return [sys.executable, "-c", f"open({str(path)!r}, 'w')"]


def test_ci_that_cannot_have_containers_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(ComponentError, match=r"no overlay file system\. CI tests both providers"):
        under_engine(_marked(tmp_path / "ran"))
    assert not (tmp_path / "ran").exists()


def test_a_laptop_that_cannot_have_containers_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CI", raising=False)
    assert under_engine(_marked(tmp_path / "ran")) == 0
    assert "NOT TESTED with containers" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()
