"""A server that is told to end, under load of clients that never send a request twice: what was accepted is answered (T49)."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.httpload.run import Report

from .rig import wait_until
from .science import DOUBLE
from .service import PROTOCOLS, Service

Services = Callable[..., Service]
# Outside of loopback, since there is no drain delay for loopback; the load comes over loopback all the same.
EVERYWHERE = {"host": "0.0.0.0", "keys": ", drain_delay: 500ms"}
SHAPE = {
    "h1": {"connections": 64},
    "h2c": {"connections": 8, "streams": 8},
    "grpc": {"connections": 8, "streams": 8},
}


def ended_under_load(pod: Service, protocol: str, end: Callable[[Service], None]) -> Report:
    """The load of clients that go on until nobody listens."""
    with pod.load(protocol=protocol, until_refused=True, **SHAPE[protocol]) as load:
        load.await_answers()
        end(pod)
        return load.report()


def tell_the_bridge(pod: Service) -> None:
    pod.stop_bridge()


def tell_the_runner(pod: Service) -> None:
    """Which is told first when a pod ends, and asks the bridge to drain."""
    pod.stop_runner()
    pod.stop_bridge()


def tell_both(pod: Service) -> None:
    assert pod.runner is not None
    pod.runner.send_signal(signal.SIGTERM)
    pod.stop_bridge()
    assert pod.runner.wait(90) == 0


@pytest.mark.parametrize("end", [tell_the_bridge, tell_the_runner, tell_both])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_T49_a_pod_that_is_told_to_end_answers_what_it_accepted(
    service: Services, protocol: str, end: Callable[[Service], None]
) -> None:
    pod = service(DOUBLE, workers=2, **EVERYWHERE).start()
    report = ended_under_load(pod, protocol, end)
    print(report)
    # No load balancer keeps these clients away: between the end of the drain delay and that of the bridge they are refused.
    report.require_all_right(beside=(503,) if end is tell_the_runner else ())


def test_T49_a_server_on_a_laptop_that_is_told_to_end_answers_what_it_accepted(service: Services) -> None:
    pod = service(DOUBLE, workers=1)
    pod.start_alone()
    report = ended_under_load(pod, "h1", Service.stop_runner)
    print(report)
    report.require_all_right()


@pytest.mark.usefixtures("faulty_bridge")
def test_T49_a_server_that_hangs_up_where_it_should_drain_is_seen_to_lose(service: Services) -> None:
    pod = service(DOUBLE, workers=2, environment={"DS_FAULT": "hang-up"}, **EVERYWHERE).start()
    report = ended_under_load(pod, "h1", tell_the_bridge)
    print(report)
    assert report.lost > 0, "this load cannot see a loss"


@pytest.mark.long
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_T49_twenty_ends_under_load_lose_nothing(service: Services, protocol: str) -> None:
    pod = service(DOUBLE, workers=2, **EVERYWHERE)
    pod.start()
    for _ in range(20):
        ended_under_load(pod, protocol, tell_the_bridge).require_all_right()
        pod.start_bridge()
        wait_until(pod.is_ready, seconds=120, what="the front to be ready again")
