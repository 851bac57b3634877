"""What a replay of a tape says: the first difference, what else has changed, and whether it can be trusted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from pyrunner.commands.record import parse
from pyrunner.commands.replay import _times
from pyrunner.errors import UserError
from pyrunner.replay.diff import compare
from pyrunner.replay.ledger import Fate
from pyrunner.replay.run import Result
from pyrunner.replay.tapes import Golden, Verdict, model_for, verdict, with_code
from pyrunner.tape.contents import Contents, read
from pyrunner.tape.environment import Environment

from .tapes import batch, worker, write

NOTHING: dict[str, Any] = {
    "batches": 1,
    "unanswered": 0,
    "gap": {},
    "ended": True,
    "unrecorded": 0,
    "unkept": 0,
    "unasked": 0,
    "calls": None,
}


def taped(folder: Path, *outputs: bytes) -> Golden:
    kept = read(write(folder / "a.tape", worker(code="aaaaaaaaaa"), batch(0, outputs)))
    return Golden(kept.fates, kept)


def judged(
    golden: Golden, got: dict[str, Any], *, tolerance: float = 0.0, lookups: int = 0, **report: Any
) -> Verdict:
    """The verdict on answers by event, given by model 3 under other code."""
    now = Environment(model="3", code="bbbbbbbbbb")
    told = {**NOTHING, "environment": msgspec.to_builtins(now), **report}
    fates = with_code({e: Fate(e, "outputs", [v], "3") for e, v in got.items()}, now)
    done = Result(len(got), len(got), 0, 0, 0.1, "3", lookups=lookups, report=told)
    return verdict(done, golden, compare(golden.fates, fates, tolerance), tolerance)


def test_the_same_is_the_same_to_the_bit(tmp_path: Path) -> None:
    found = judged(taped(tmp_path, b'{"y":1.5}'), {"departures/0/0": {"y": 1.5}})
    assert found.comparison.same
    assert found.to_the_bit
    assert found.elsewhere == ["code aaaaaaaa, now bbbbbbbb"]
    assert found.as_json() == {"differences": [], "environment": found.elsewhere, "trusted": True}


@pytest.mark.parametrize(
    ("before", "now"),
    [(b'{"y":0.1}', {"y": 0.1 + 2**-56}), (b'{"y":0.0}', {"y": -0.0}), (b'{"y":1}', {"y": 1.0})],
)
def test_one_bit_is_a_difference_of_recorded_batches_and_none_within_a_tolerance(
    tmp_path: Path, before: bytes, now: dict[str, float]
) -> None:
    golden = taped(tmp_path, before)
    assert not judged(golden, {"departures/0/0": now}).comparison.same
    assert judged(golden, {"departures/0/0": now}, tolerance=1e-9).comparison.same


def test_a_difference_names_both_codes(tmp_path: Path) -> None:
    found = judged(taped(tmp_path, b'{"y":1}'), {"departures/0/0": {"y": 2}})
    assert found.comparison.differences[0].explain() == (
        "departures/0/0 y: expected 1, got 2 (expected by model 3, code aaaaaaaa, got from model 3, code bbbbbbbb)"
    )


def test_a_call_that_was_not_recorded_comes_before_the_answers_that_it_changes(tmp_path: Path) -> None:
    golden = taped(tmp_path, b'{"y":1}', b'{"y":1}')
    asked = {
        "event": "departures/0/1",
        "method": "kv.get",
        "asked": '["features","b"]',
        "recorded": '["features","a"]',
    }
    found = judged(
        golden,
        {"departures/0/0": {"y": 1}, "departures/0/1": {"y": 2}},
        calls=[asked],
        unrecorded=1,
    )
    call, answer = found.comparison.differences
    assert call.explain().startswith(
        'departures/0/1 call kv.get: expected ["features","a"], got ["features","b"] (expected by model 3'
    )
    assert answer.field == "y"
    asked["recorded"] = ""
    assert (
        judged(golden, {"departures/0/0": {"y": 1}, "departures/0/1": {"y": 1}}, calls=[asked])
        .comparison.differences[0]
        .expected
        == "no such call"
    )


def test_without_recorded_answers_nothing_is_trusted(tmp_path: Path) -> None:
    found = judged(taped(tmp_path, b"1"), {"departures/0/0": 1}, unkept=3, unrecorded=3)
    assert "recorded with --no-lookups" in found.distrust
    assert found.as_json()["trusted"] is False


def test_a_model_that_asked_live_systems_cannot_be_held_against_a_ledger() -> None:
    golden = Golden({"s/0/0": Fate("s/0/0", "outputs", [1])})
    same = compare(golden.fates, golden.fates)
    asked = verdict(Result(1, 1, 0, 0, 0.1, "3", lookups=7), golden, same, 1e-9)
    assert "asked its connections 7 times" in asked.distrust
    assert "ds-runner record" in asked.distrust
    assert not verdict(Result(1, 1, 0, 0, 0.1, "3"), golden, same, 1e-9).distrust


def test_the_tolerance_is_none_for_a_tape_and_itself_and_the_classs_otherwise(tmp_path: Path) -> None:
    golden = taped(tmp_path, b"1")
    model: Any = SimpleNamespace(tolerance=1e-5)
    assert golden.tolerance(golden.tape, model) == 0
    assert golden.tolerance(None, model) == 1e-5
    assert Golden({}).tolerance(golden.tape, model) == 1e-5


def test_the_recorded_model_is_replayed_and_its_absence_told(tmp_path: Path) -> None:
    tape: Contents = read(write(tmp_path / "a.tape", worker(model="3"), batch(0, [b"1"])))

    def resolve(name: str, ref: str) -> str:
        raise UserError("no model 3")

    absent: Any = SimpleNamespace(name="flights", store=SimpleNamespace(resolve=resolve))
    with pytest.raises(UserError, match="recorded with model 3, which is not here"):
        model_for(absent, tape, None)
    assert model_for(absent, tape, "latest") == "latest"
    present: Any = SimpleNamespace(name="flights", store=SimpleNamespace(resolve=lambda name, ref: ref))
    assert model_for(present, tape, None) == "3"


@pytest.mark.parametrize(("text", "times"), [("1x", 1.0), ("10x", 10.0), ("0.5x", 0.5), ("max", 0.0)])
def test_speeds(text: str, times: float) -> None:
    assert _times(text) == times


@pytest.mark.parametrize("text", ["", "x", "0x", "-1x", "fast", "10"])
def test_what_is_no_speed_is_told_with_what_is(text: str) -> None:
    with pytest.raises(UserError, match="write 1x, 10x or max"):
        _times(text)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5s", 1.5), ("10m", 600), ("1h30m", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "0s", "s", "1d", "-5s"])
def test_what_is_no_duration_is_told_with_what_is(text: str) -> None:
    with pytest.raises(UserError, match="write a time like 30s"):
        parse(text)
