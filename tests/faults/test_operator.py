"""What a person may do to a stream that runs: pause it, resume it, read it again (T46)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from .rig import Rig, wait_until
from .science import DOUBLE, twice


def numbers(begin: int, end: int) -> Iterator[dict[str, object]]:
    return ({"id": f"a-{n}", "n": n} for n in range(begin, end))


def how_often(pod: Rig) -> Counter[str]:
    """The results of each event that are stored."""
    return Counter(event for event, _ in pod.collect().results)


def test_T46_events_that_a_seek_reads_again_have_results_again_and_none_twice_for_it(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(DOUBLE, workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish(numbers(0, 3_000))
    pod.wait_settled(seconds=150)
    dry: Any = pod.call("seek", "numbers", "", ["offset", 1_001, 0], True)
    assert dry == ["score-stream", False, [[0, 3_001, 1_001, 3_001]]]
    assert set(how_often(pod).values()) == {1}, "a dry run had something read again"

    assert pod.call("seek", "numbers", "", ["offset", 1_001, 0], False) == dry
    pod.kill_bridge()  # what is scored again now was perhaps stored by the life before
    wait_until(lambda: how_often(pod).total() >= 5_000, seconds=120, what="2,000 events to be scored again")
    pod.publish(numbers(3_000, 3_100))
    wait_until(lambda: how_often(pod).total() >= 5_100, seconds=120, what="the events behind them")
    found = how_often(pod)
    assert {found[f"a-{n}"] for n in range(1_000)} == {1}
    assert {found[f"a-{n}"] for n in range(1_000, 3_000)} == {2}
    assert {found[f"a-{n}"] for n in range(3_000, 3_100)} == {1}


def test_a_paused_stream_stays_paused_over_a_killed_bridge_and_loses_nothing(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish(numbers(0, 20_000))
    wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="something to be scored")
    assert pod.call("pause", "numbers") == [["score-stream", "numbers", False]]
    settled = pod.status()
    assert (settled["state"], settled["ready"], settled["why"]) == ("paused", False, "paused by the operator")
    assert settled["unsettled"] == 0
    assert how_often(pod).total() == settled["scored"], "what was read before the pause is stored"

    pod.kill_bridge()
    pod.publish(numbers(20_000, 21_000))
    wait_until(lambda: bool(pod.status()["workers"]), seconds=120, what="the worker to come back")
    assert pod.status()["state"] == "paused"
    assert how_often(pod).total() == settled["scored"], "a paused stream was read"

    assert pod.call("resume", "score-stream") == [["score-stream", "numbers", True]]
    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0
    assert pod.status()["state"] == "running"
    assert json.loads((pod.folder / "state" / "paused.json").read_text()) == {}


def test_what_a_seek_to_the_end_skips_is_not_scored(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish(numbers(0, 100))
    pod.wait_settled(seconds=150)
    pod.call("pause", "numbers")
    pod.publish(numbers(100, 200))
    assert pod.call("seek", "numbers", "", ["newest"], False) == ["score-stream", True, [[0, 101, 201, 201]]]
    pod.call("resume", "numbers")
    pod.publish(numbers(200, 300))
    wait_until(lambda: how_often(pod).total() >= 200, seconds=120, what="the events behind the skipped ones")
    assert {f"a-{n}" for n in range(100, 200)}.isdisjoint(how_often(pod))
