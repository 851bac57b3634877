"""The golden diff of two ledgers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyrunner.errors import UserError
from pyrunner.replay.diff import compare
from pyrunner.replay.ledger import Fate, read_ledger


def scored(event: str, *outputs: Any, model: str = "1") -> dict[str, Fate]:
    return {event: Fate(event, "outputs", list(outputs), model)}


def explained(expected: dict[str, Fate], got: dict[str, Fate], tolerance: float = 1e-9) -> str:
    (difference,) = compare(expected, got, tolerance).differences
    return difference.explain()


SAME = [
    ({"a": 1.0}, {"a": 1.0 + 1e-13}),
    ({"a": 1e12}, {"a": 1e12 + 1}),
    ({"a": 0.0}, {"a": 1e-10}),
    ({"a": 1}, {"a": 1.0}),
    ({"a": None, "b": [1, {"c": "x"}]}, {"a": None, "b": [1, {"c": "x"}]}),
]
DIFFERENT = [
    ({"a": 1.0}, {"a": 1.0 + 1e-6}, "a: expected 1.0, got 1.000001"),
    ({"a": 1}, {"a": 2}, "a: expected 1, got 2"),
    ({"a": True}, {"a": 1}, "a: expected true, got 1"),
    ({"a": 0.0}, {"a": False}, "a: expected 0.0, got false"),
    ({"a": "x"}, {"a": "y"}, 'a: expected "x", got "y"'),
    ({"a": 1.0}, {"a": None}, "a: expected 1.0, got null"),
    ({"a": 1.0}, {}, "a: expected 1.0, got no such field"),
    ({}, {"a": 1.0}, "a: expected no such field, got 1.0"),
    ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "a.b[1]: expected 2, got 3"),
    ({"a": [1, 2]}, {"a": [1]}, "a length: expected 2, got 1"),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_answers_within_the_tolerance_are_the_same(a: Any, b: Any) -> None:
    assert compare(scored("s/0/1", a), scored("s/0/1", b)).same


@pytest.mark.parametrize(("a", "b", "text"), DIFFERENT)
def test_the_first_difference_is_explained(a: Any, b: Any, text: str) -> None:
    assert explained(scored("s/0/1", a), scored("s/0/1", b)) == f"s/0/1 {text} (model 1)"


def test_a_wider_tolerance_is_taken() -> None:
    assert compare(scored("s/0/1", {"a": 1.0}), scored("s/0/1", {"a": 1.05}), tolerance=0.1).same


def test_other_models_are_named() -> None:
    text = explained(scored("s/0/1", {"a": 1}, model="3"), scored("s/0/1", {"a": 2}, model="4"))
    assert text == "s/0/1 a: expected 1, got 2 (expected by model 3, got from model 4)"


def test_another_fate_is_a_difference() -> None:
    rejected = {"s/0/1": Fate("s/0/1", "rejected", {"code": "rejected", "reason": "cancelled flight"}, "1")}
    assert explained(scored("s/0/1", {"a": 1}), rejected) == (
        's/0/1: expected output {"a": 1}, got rejected (rejected: cancelled flight) (model 1)'
    )


def test_an_event_that_one_side_lacks_is_a_difference() -> None:
    assert "expected output" in explained(scored("s/0/1", {"a": 1}), {})
    assert "got no such event" in explained(scored("s/0/1", {"a": 1}), {})
    assert "expected no such event" in explained({}, scored("s/0/1", {"a": 1}))


def test_of_dead_letters_only_the_code_counts() -> None:
    def dead(code: str, reason: str) -> dict[str, Fate]:
        return {"s/0/1": Fate("s/0/1", "dead", {"code": code, "reason": reason, "attempts": 2}, "1")}

    assert compare(dead("raised", "science.py:31"), dead("raised", "science.py:33")).same
    assert not compare(dead("raised", "x"), dead("invalid_event", "x")).same


def test_a_ledger_is_read_by_event_id(tmp_path: Path) -> None:
    file = tmp_path / "ledger.jsonl"
    lines = [
        {"event": "s/0/0", "outputs": [{"a": 1}], "model": "3"},
        {"event": "s/0/1", "rejected": {"code": "c", "reason": "r"}},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + "\n")
    fates = read_ledger(file)
    assert list(fates) == ["s/0/0", "s/0/1"]
    assert fates["s/0/0"] == Fate("s/0/0", "outputs", [{"a": 1}], "3")
    assert fates["s/0/1"].kind == "rejected"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"event": "s/0/0", "outputs": []}\n{', r":2 not JSON"),
        ('{"flight_id": "1"}', r":1 not a line of a replay's ledger.*ds-runner replay FILE --output"),
        ("[1]", "not a line"),
        (
            '{"event": "s/0/0", "outputs": []}\n{"event": "s/0/0", "outputs": []}',
            r":2 event s/0/0 is in the ledger twice",
        ),
    ],
)
def test_a_file_that_is_no_ledger_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "golden.jsonl"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_ledger(file)
