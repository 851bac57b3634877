"""Workers of serve-api part from a bridge only when it lets them go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyrunner import parting as module
from pyrunner.client.pending import CallError, TooLate, Unreachable


class FakeClient:
    """Answers calls by a script: an exception is raised, anything else is the answer."""

    script: list[Any]
    calls: list[tuple[Any, ...]]

    def __init__(self, bridge: str, token_file: Path) -> None:
        self.bridge = bridge

    def __enter__(self) -> FakeClient:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def call(self, *call: Any, deadline: float) -> Any:
        assert deadline > 1
        FakeClient.calls.append(call)
        said = FakeClient.script.pop(0)
        if isinstance(said, Exception):
            raise said
        return said


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ([None], 1),
        ([CallError("unknown_method", "no method versions.leave", False)], 1),
        ([Unreachable("tcp://127.0.0.1:1: connection refused")], 1),
        ([TooLate(30.0)], 1),
        (
            [
                Unreachable("the bridge is draining"),
                Unreachable("the bridge is draining"),
                Unreachable("gone"),
            ],
            3,
        ),
    ],
    ids=["let go", "an older bridge", "none", "out of time", "it drains, and needs them to its end"],
)
def test_a_parent_takes_leave(monkeypatch: pytest.MonkeyPatch, script: list[Any], calls: int) -> None:
    monkeypatch.setattr(module, "ControlClient", FakeClient)
    FakeClient.script, FakeClient.calls = script, []
    module.parting("tcp://127.0.0.1:1", Path("token"), "serve-api")("host-7")
    assert FakeClient.calls == [("versions.leave", "serve-api", "host-7")] * calls
