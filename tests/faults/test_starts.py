"""A bridge and its broker that start together do not depend on who is quicker (T3)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.providers.component import Component

from .programs import program
from .rig import Rig, wait_until
from .science import DOUBLE, twice


@pytest.mark.parametrize("broker", ["nats", "redis", "postgres", "kafka"])
def test_T3_a_bridge_that_starts_while_its_broker_is_down_waits_for_it(
    rig: Callable[..., Rig], own_component: Callable[[str], Component], broker: str
) -> None:
    server = own_component(broker)
    create = {"create": "true"} if broker == "postgres" else {}
    pod = rig(DOUBLE, workers=1, program=program(server.url, settings=create))
    server.kill()
    pod.start_bridge()
    wait_until(
        lambda: "waiting for" in pod.log("bridge"), seconds=120, what="the bridge to say that it waits"
    )
    assert pod.bridge is not None and pod.bridge.poll() is None

    server.restart()

    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(100))
    pod.wait_settled(seconds=150).audit(twice).require_at_least_once()


def test_T3_a_bridge_that_waits_for_its_broker_ends_in_order_when_it_is_asked_to(
    rig: Callable[..., Rig], own_component: Callable[[str], Component]
) -> None:
    server = own_component("nats")
    pod = rig(DOUBLE, workers=1, program=program(server.url))
    server.kill()
    pod.start_bridge()
    wait_until(
        lambda: "waiting for" in pod.log("bridge"), seconds=120, what="the bridge to say that it waits"
    )
    pod.stop_bridge()
