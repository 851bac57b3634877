"""The same storms on a real Redis: kills of bridge, workers and server lose nothing (T1, T2, T3)."""

from __future__ import annotations

from collections.abc import Callable

from tests.providers.component import Component

from .audits import Auditor, program


def test_T1_T2_T3_kills_of_bridge_workers_and_server_lose_nothing_on_redis(
    auditor: Auditor, own_component: Callable[[str], Component]
) -> None:
    redis = own_component("redis")
    audit = auditor.run(
        "--kill", "bridge,worker,broker", "--times", "bridge=6,worker=6,broker=1",
        "--events", "30000", "--seed", "20131003",
        program=program(redis.url, settings={"takeover": "5s"}),
        broker=redis,
    )  # fmt: skip
    audit.require(done={"kill bridge": 6, "kill worker": 6, "kill broker": 1}, dead=0)


def test_message_ids_that_are_remembered_keep_kills_of_the_bridge_from_doubling_anything_on_redis(
    auditor: Auditor, redis: Component
) -> None:
    audit = auditor.run(
        "--kill", "bridge,worker", "--times", "bridge=6,worker=3", "--events", "20000", "--seed", "20131003",
        program=program(redis.url, settings={"takeover": "5s", "dedup": "10m"}),
    )  # fmt: skip
    audit.require(done={"kill bridge": 6, "kill worker": 3}, duplicates=0, dead=0)
