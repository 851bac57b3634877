"""A result over the frame limit is split between events; one event over it becomes that event's error."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunner.protocol import Kind, Result, decode
from pyrunner.protocol.results import clip, encode_result, failure
from pyrunner.testing.fake_bridge import Answered, read_result
from tests.unit.protocol.test_plain_codec import results

SMALL = 64 * 1024


def parts(result: Result, limit: int) -> list[Result]:
    frames = encode_result(result, limit)
    assert all(len(frame) - 4 <= limit for frame in frames)
    decoded = [decode(bytes(frame[4:])) for frame in frames]
    assert all(isinstance(part, Result) for part in decoded)
    return decoded  # type: ignore[return-value]


def fates(result: list[Result], events: int) -> dict[str, Answered]:
    ids = [str(i) for i in range(events)]
    return {answered.id: answered for part in result for answered in read_result(part, ids)}


@settings(max_examples=300, deadline=None)
@given(results(), st.integers(700, 4000))
def test_parts_cover_the_events_in_order_and_say_the_same(result: Any, limit: int):
    events = result.first + result.count
    split = parts(result, limit)
    at = result.first
    for part in split:
        assert part.first == at
        assert part.lease == result.lease
        at += part.count
    assert at == events
    whole, pieces = fates([result], events), fates(split, events)
    for event, fate in whole.items():
        if pieces[event].error != fate.error:
            assert pieces[event].error is not None and pieces[event].error[1] == "output_too_large"
        else:
            assert pieces[event] == fate


def test_a_large_output_is_its_events_error_and_spares_the_neighbours():
    outputs = [b"a", b"b" * (SMALL + 1), b"c"]
    split = parts(Result(1, 1, 0, 0, 3, outputs, None, None, []), SMALL)
    answered = fates(split, 3)
    assert [answered[str(i)].outputs for i in range(3)] == [[b"a"], [], [b"c"]]
    assert answered["1"].error is not None
    assert answered["1"].error[:2] == (Kind.FAIL, "output_too_large")


def test_lines_stay_lines_and_routes_follow_their_outputs():
    lines = b"".join(b"%05d%s\n" % (i, b"x" * 1000) for i in range(200))
    split = parts(Result(1, 1, 0, 0, 200, lines, None, [150, "late"], []), SMALL)
    assert len(split) > 1
    assert all(isinstance(part.outputs, bytes) and part.counts is None for part in split)
    answered = fates(split, 200)
    assert [a.id for a in answered.values() if a.routes == ["late"]] == ["150"]


def test_texts_are_clipped_by_bytes_and_stay_utf8():
    assert clip("é" * 10, 5) == "éé"
    assert clip("\ud800x") == "?x"
    error = failure(0, Kind.FAIL, "c" * 99, "r" * 9000, b"d" * 9000)
    assert (len(error.code), len(error.reason), error.detail) == (64, 8192, None)


@pytest.mark.parametrize("limit", [SMALL, 1 << 20])
def test_a_result_that_fits_is_one_frame(limit):
    assert len(encode_result(Result(1, 1, 0, 0, 1, [b"x"], None, None, []), limit)) == 1
