"""The link between the bridge and its broker misbehaves in every way, and nothing is lost (T15)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from tests.providers.component import Component

from .programs import program
from .proxy import ToxicProxy
from .rig import wait_until
from .science import DOUBLE, twice
from .traffic import publishing
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]
SEED = 20131015
MEMORY = (
    256 << 20
)  # the bridge's bound in these tests: what is read ahead and being written is bounded, whatever the link does


def resets(link: ToxicProxy) -> None:
    for _ in range(6):
        time.sleep(0.5)
        link.reset()


def silence(link: ToxicProxy) -> None:
    """Longer than most timeouts of clients; connections stay open and nothing passes."""
    link.set(black_hole=True)
    time.sleep(7)


def trickle(link: ToxicProxy) -> None:
    link.set(bandwidth=10_000)
    time.sleep(6)


def slices(link: ToxicProxy) -> None:
    link.set(slices=37, pause=0.0005)
    time.sleep(4)


def cuts(link: ToxicProxy) -> None:
    link.set(cut_after=20_000)
    link.reset()
    time.sleep(4)


def refusals(link: ToxicProxy) -> None:
    link.set(refuse=True)
    link.reset()
    time.sleep(4)


def deaths(link: ToxicProxy) -> None:
    """Every connection dies after half a second to one and a half."""
    link.set(lifetime=(0.5, 1.5))
    link.reset()
    time.sleep(5)


TOXICS = (resets, silence, trickle, slices, cuts, refusals, deaths)
SETTINGS = {
    "kafka": {"partitions": 4, "session_timeout": "6s"},
    "postgres": {"create": True},
    "redis": {"takeover": "3s"},
}


@pytest.mark.long
@pytest.mark.parametrize(
    ("broker", "guarantee"),
    [
        ("kafka", "at-least-once"), ("kafka", "exactly-once"), ("nats", "at-least-once"), ("redis", "at-least-once"),
        ("postgres", "exactly-once"),
    ],
)  # fmt: skip
def test_T15_a_link_to_the_broker_that_misbehaves_loses_nothing(
    rig: Rigs, own_component: Callable[[str], Component], broker: str, guarantee: str
) -> None:
    print(f"seed {SEED}")
    component = own_component(broker)
    with component.through(rng=random.Random(SEED)) as link:
        text = program(link.url, guarantee=guarantee, settings=SETTINGS.get(broker, {}))
        pod = rig(DOUBLE, workers=2, program=text)
        pod.start_bridge()
        pod.start_runner()
        with publishing(pod, batch=100, pause=0.05):
            for toxic in TOXICS:
                progress(pod, toxic.__name__)
                toxic(link)
                link.heal()
                print(f"{toxic.__name__}: {link.broken} links broken")
            progress(pod, "the last")
        verdict = pod.wait_settled(seconds=120).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert pod.memory.bridge < MEMORY, f"the bridge held {pod.memory.bridge >> 20} MiB"
    if guarantee == "exactly-once":
        assert verdict.duplicates == 0, verdict


def progress(pod: WatchedRig, before: str) -> None:
    """Wait until results come again."""
    scored = pod.status()["scored"]
    wait_until(lambda: pod.status()["scored"] > scored, seconds=120, what=f"results before {before}")
