"""What is read again on purpose has results again, also where a store knows message ids (T46)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from .programs import program
from .rig import wait_until
from .science import DOUBLE
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]


def numbers(begin: int, end: int) -> Iterator[dict[str, object]]:
    return ({"id": f"p{n % 20}-{n}", "n": n} for n in range(begin, end))


def how_often(pod: WatchedRig) -> Counter[str]:
    """The results of each event that are stored."""
    return Counter(event for event, _ in pod.collect().results)


BROKERS = ["nats", *(pytest.param(one, marks=pytest.mark.long) for one in ("kafka", "redis"))]
SETTINGS: dict[str, dict[str, object]] = {"kafka": {"partitions": 2}, "redis": {"dedup": "10m"}}


@pytest.mark.parametrize("broker", BROKERS)
def test_T46_a_stream_that_is_moved_to_its_start_is_scored_once_more(
    rig: Rigs, request: pytest.FixtureRequest, broker: str
) -> None:
    text = program(request.getfixturevalue(broker).url, settings=SETTINGS.get(broker, {}))
    pod = rig(DOUBLE, workers=1, program=text)
    pod.start_bridge()
    pod.start_runner()
    pod.publish(numbers(0, 1_000))
    pod.wait_settled(seconds=150)
    assert pod.call("seek", "numbers", "", ["oldest"], False)
    wait_until(lambda: how_often(pod).total() >= 2_000, seconds=120, what="all events to be scored again")
    pod.publish(numbers(1_000, 1_100))
    wait_until(lambda: how_often(pod).total() >= 2_100, seconds=120, what="the events behind them")
    found = how_often(pod)
    assert {found[str(event["id"])] for event in numbers(0, 1_000)} == {2}
    assert {found[str(event["id"])] for event in numbers(1_000, 1_100)} == {1}


@pytest.mark.parametrize("broker", BROKERS)
def test_T46_a_second_command_on_the_same_output_has_results_of_its_own_on_each_broker(
    rig: Rigs, request: pytest.FixtureRequest, broker: str
) -> None:
    text = program(request.getfixturevalue(broker).url, settings=SETTINGS.get(broker, {}))
    second = "    - {{name: again, kind: score-stream, input: numbers, output: answers}}\n"
    pod = rig(DOUBLE, workers=1, program=text + second, commands=("score-stream", "again"))
    pod.start_bridge()
    pod.start_runner()
    pod.publish(numbers(0, 100))
    pod.wait_settled(seconds=150)
    pod.stop_runner()
    pod.start_runner(command_name="again")
    wait_until(lambda: how_often(pod).total() >= 200, seconds=120, what="each event to be scored by both")
    assert set(how_often(pod).values()) == {2}
