"""What is said of a shadow: by `ds-runner shadow`, and by `up` below its table."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunner.commands.board import shadows
from pyrunner.commands.shadow import examples, sentence
from pyrunner.testing import FakeBridge

from .conftest import Shell

SHADOW: dict[str, Any] = {
    "model": "3",
    "ready": True,
    "worker_deaths": 0,
    "compared": 12_000,
    "differing": 144,
    "dropped": 0,
    "fields": [
        {
            "field": "arr_delay",
            "differs": 140,
            "mean": 0.4,
            "max": 3.1,
            "examples": [
                {
                    "event": "departures/0/17",
                    "primary": 12.5,
                    "shadow": 15.6,
                    "primary_model": "4",
                    "shadow_model": "3",
                }
            ],
        },
        {"field": "late", "differs": 4},
    ],
}


def test_a_shadow_is_told_of_in_one_sentence() -> None:
    assert sentence(SHADOW) == (
        "shadow 3: compared 12,000, differs 1.2 % (arr_delay by mean 0.4, max 3.1; late 4 times)"
    )


def test_what_was_dropped_or_died_is_told_of_only_where_there_is_some() -> None:
    bad = {
        **SHADOW,
        "fields": [],
        "compared": 0,
        "differing": 0,
        "dropped": 2_000,
        "worker_deaths": 3,
        "ready": False,
    }
    assert sentence(bad) == "shadow 3: compared 0, dropped 2,000, worker deaths 3, no worker is ready"


@pytest.mark.parametrize(
    ("differing", "said"),
    [(0, "0 %"), (1, "less than 0.1 %"), (12_000, "100 %"), (11_999, "more than 99.9 %"), (6_000, "50 %")],
)
def test_a_share_is_not_rounded_to_none_or_all(differing: int, said: str) -> None:
    assert sentence({**SHADOW, "fields": [], "differing": differing}).endswith(f"differs {said}")


def test_no_more_than_three_fields_are_named() -> None:
    many = [{"field": f"f{n}", "differs": 1} for n in range(5)]
    assert "(f0 1 times; f1 1 times; f2 1 times; 2 more)" in sentence({**SHADOW, "fields": many})


def test_an_example_names_event_field_values_and_models() -> None:
    assert list(examples(SHADOW)) == ["departures/0/17 arr_delay: 12.5, shadow 15.6 (models 4 and 3)"]


def test_the_board_has_a_line_for_each_shadow() -> None:
    status = {"commands": {"score-stream": {"shadow": SHADOW}, "serve-api": {}}}
    assert shadows(status) == [f"score-stream: {sentence(SHADOW)}"]


class Bridge:
    """A bridge with these shadows."""

    def __init__(self, shadows: dict[str, Any]) -> None:
        self.shadows = shadows

    def answer(self, call: Any, args: list[Any]) -> bytes:
        assert (call.method, args) == ("shadow", [])
        return json.dumps(self.shadows).encode()


@pytest.fixture
def bridge(shell: Shell) -> Iterator[Bridge]:
    """A fake bridge that the project's folder leads to."""
    kept = Bridge({"score-stream": SHADOW})
    with FakeBridge(answer_call=kept.answer) as fake:
        _announce(shell.folder / ".ds-runner", fake)
        yield kept


def _announce(state: Path, fake: FakeBridge) -> None:
    state.mkdir()
    found = {"pid": os.getpid(), "wire": fake.address, "token_file": str(fake.token_file), "version": "1"}
    (state / "bridge.json").write_text(json.dumps(found))


def test_the_verb_prints_the_sentence_and_the_farthest_events(shell: Shell, bridge: Bridge) -> None:
    said = shell("shadow")
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"score-stream: {sentence(SHADOW)}",
        *(f"  {e}" for e in examples(SHADOW)),
    ]
    assert json.loads(shell("shadow", "--json").out) == {"score-stream": SHADOW}


def test_without_a_shadow_the_verb_says_how_to_have_one(shell: Shell, bridge: Bridge) -> None:
    bridge.shadows = {}
    said = shell("shadow")
    assert (said.code, said.out) == (2, "")
    assert said.err == "no command has a shadow. Name one in program.yaml, for example: shadow: latest\n"
