"""The platforms that wheels are built for. That a wheel works is shown by tests/e2e."""

from __future__ import annotations

import pytest

import hatch_build


@pytest.mark.parametrize(("goos", "goarch"), hatch_build.TAGS)
def test_the_platform_is_the_one_that_go_is_told(
    goos: str, goarch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOS", goos)
    monkeypatch.setenv("GOARCH", goarch)
    assert hatch_build.target() == (goos, goarch)


def test_this_machine_has_a_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOS", raising=False)
    monkeypatch.delenv("GOARCH", raising=False)
    assert hatch_build.target() in hatch_build.TAGS


def test_a_platform_without_a_wheel_is_told_those_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOS", "plan9")
    with pytest.raises(SystemExit, match=r"no wheel for plan9/\w+\. There are wheels for linux/amd64, "):
        hatch_build.target()
