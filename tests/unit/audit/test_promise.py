"""What is promised depends on the route and on what is done to it."""

from __future__ import annotations

from typing import Any

import pytest

from pyrunner.audit import Place, Route, Tally, promise_of
from pyrunner.audit.promise import broken

KILLS = [("kill", "bridge"), ("kill", "worker")]


def route(source: str, sink: str, settings: dict[str, str] | None = None, **command: Any) -> Route:
    return Route("7", Place("in", source), (out := Place("out", sink, settings or {})), out, command)


@pytest.mark.parametrize(
    ("found", "deeds", "once"),
    [
        (route("embedded:", "embedded:"), KILLS, True),
        (route("kafka://x", "kafka://x"), KILLS, False),
        (route("kafka://x", "kafka://x"), [("kill", "worker")], True),
        (route("kafka+tls://x", "kafka+tls://x"), [("stop", "bridge"), ("stop", "worker")], True),
        (route("kafka://x", "kafka://x"), [("pause", "bridge")], False),
        (route("kafka://x", "kafka://x", guarantee="exactly-once"), KILLS, True),
        (route("kafka://x", "postgres://x"), KILLS, True),
        (route("redis://x", "redis://x"), KILLS, False),
        (route("redis://x", "redis://x", {"dedup": "10m"}), KILLS, True),
        (route("redis://x", "rediss://x?dedup=10m"), KILLS, True),
        (route("nats://x", "tls://x"), KILLS, True),
        (route("nats://x", "nats://x", {"duplicates": "0"}), KILLS, False),
        (route("kafka://x", "${env:BROKER}"), KILLS, False),
    ],
)
def test_nothing_comes_twice_where_that_is_promised(
    found: Route, deeds: list[tuple[str, str]], once: bool
) -> None:
    promise = promise_of(found, deeds)
    assert promise.once == once, promise


def test_order_is_promised_unless_it_is_none() -> None:
    assert promise_of(route("embedded:", "embedded:"), KILLS).ordered
    assert not promise_of(route("embedded:", "embedded:", order="none"), KILLS).ordered


def test_a_broken_promise_is_a_sentence_with_the_first_ids() -> None:
    tally = Tally()
    tally.attempt(events := [f"a-{n}" for n in range(8)])
    tally.acknowledge(events)
    tally.result("a-1", True)
    tally.result("a-0", True)
    promise = promise_of(route("kafka://x", "kafka://x"), KILLS)
    assert broken(promise, tally.verdict()) == [
        "6 acknowledged events never came out: a-2, a-3, a-4, a-5, a-6, ...",
        "1 events came out behind a later one of their key",
    ]


def test_duplicates_break_only_the_promise_that_there_are_none() -> None:
    tally = Tally()
    tally.attempt(["a-0"])
    tally.acknowledge(["a-0"])
    tally.result("a-0", True)
    tally.result("a-0", True)
    assert broken(promise_of(route("kafka://x", "kafka://x"), KILLS), tally.verdict()) == []
    assert broken(promise_of(route("embedded:", "embedded:"), KILLS), tally.verdict()) == [
        "1 events came out more than once: a-0"
    ]
