"""`ds-runner roll`: what it asks the bridge for, and how versions are told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from pyrunner.commands.roll import sentence, weights_of
from pyrunner.errors import UserError
from pyrunner.testing import FakeBridge

from .conftest import Shell

READY = {"name": "", "version": "3", "state": "ready", "weight": 1, "workers": 2, "in": 0, "latency_p50_ms": 0, "latency_p99_ms": 0}  # fmt: skip


class Fleet:
    """What the control methods work on."""

    def __init__(self) -> None:
        self.given: list[Any] = []
        self.rows: dict[str, Any] = {"serve-api": [READY]}

    def answer(self, call: Any, args: list[Any]) -> Any:
        if call.method == "versions.give":
            self.given.append(args)
        return json.dumps(self.rows).encode()


@pytest.fixture
def fleet(shell: Shell) -> Iterator[Fleet]:
    kept = Fleet()
    with FakeBridge(answer_call=kept.answer) as fake:
        state = shell.folder / ".ds-runner"
        state.mkdir()
        found = {"pid": os.getpid(), "wire": fake.address, "token_file": str(fake.token_file), "version": "1"}
        (state / "bridge.json").write_text(json.dumps(found))
        yield kept


def test_versions_and_weights_are_given_and_what_answers_is_shown(shell: Shell, fleet: Fleet) -> None:
    said = shell("roll", "3=90", "candidate=10")
    assert (said.code, fleet.given) == (0, [["", [["3", 90], ["candidate", 10]]]])
    assert said.out == "serve-api:\n  version 3: 100 % of requests, ready, 2 workers, 0 rows\n"
    assert shell("roll", "4", "--command", "serve-api:fares").code == 0
    assert fleet.given[1] == ["serve-api:fares", [["4", 1]]]


def test_without_versions_nothing_is_changed(shell: Shell, fleet: Fleet) -> None:
    assert json.loads(shell("roll", "--json").out) == fleet.rows
    assert fleet.given == []


def test_a_bridge_that_serves_nothing_over_http_says_so(shell: Shell, fleet: Fleet) -> None:
    fleet.rows = {}
    said = shell("roll")
    assert said.code == 2 and "no command of this bridge serves HTTP" in said.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["3=90", "4"], "4 is not a version with a weight"),
        (["3=x"], "3=x is not a version"),
        (["=1"], "=1 is not a version"),
        (["3=1.5"], "3=1.5 is not"),
        (["3=-1"], "3=-1 is not"),
        (["3=1", "3=2"], "3 is named twice"),
        (["3=0", "4=0"], "no version has a weight"),
    ],
)
def test_what_is_no_weight_is_refused_before_anybody_is_asked(given: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        weights_of(given)


def test_one_version_gets_all_requests() -> None:
    assert weights_of(["latest"]) == {"latest": 1}
    assert weights_of(["3=0", "4=5"]) == {"3": 0, "4": 5}
    assert weights_of([]) == {}


def test_a_version_is_told_in_one_line() -> None:
    asked = {
        **READY,
        "name": "champion",
        "weight": 90,
        "in": 1204,
        "latency_p50_ms": 0.91,
        "latency_p99_ms": 2.14,
    }
    assert sentence(asked, 100) == (
        "version 3 (champion): 90 % of requests, ready, 2 workers, 1,204 rows, p50 0.91 ms, p99 2.14 ms"
    )
    assert sentence({**READY, "weight": 0}, 100).startswith("version 3: only who names it, ready")
    down = {**READY, "state": "unready", "why": "no worker is ready", "workers": 0}
    assert (
        sentence(down, 1) == "version 3: 100 % of requests, unready (no worker is ready), 0 workers, 0 rows"
    )
    assert sentence({**READY, "state": "ending"}, 1) == "version 3: ending, it answers what it has"
    assert sentence(
        {**READY, "version": "", "name": "4", "state": "loading", "weight": 0, "workers": 0}, 1
    ) == ("version 4: only who names it, loading, 0 workers, 0 rows")
