"""A version that takes over inside a limit of the kernel's on memory: whether there is room is read from that limit, not from the machine (T61)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from pyrunner.client.pending import CallError

from .cgroups import Group, memory_group
from .rig import wait_until
from .science import FITTED
from .service import Service
from .test_version_switch import SAVE, answered_by, give, versions

MIB = 1 << 20
# Each of its workers has 160 MiB of its own.
LARGE = FITTED.replace(
    "    def predict(",
    f"    def warm_up(self) -> None:\n        self._ballast = bytearray(b'x') * {160 * MIB}\n\n    def predict(",
)
ROOM = "import sys; sys.stdin.readline(); from pyrunner.runtime.room import room; print(*room())"


@contextmanager
def limited(limit: int) -> Iterator[Group]:
    """A group of the kernel's with so many bytes; the test is skipped, but in CI, where there is none."""
    with memory_group(limit) as group:
        if group is None:
            why = "the kernel gives us no memory cgroup: be root, have sudo without password, or a delegated one"
            pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
        yield group


@contextmanager
def serving_in(group: Group, pod: Service) -> Iterator[Service]:
    """The pod with two versions, the second of which serves; its runner and workers are in the group, and end before it does."""
    subprocess.run([sys.executable, "-c", SAVE, "2", "2"], cwd=pod.folder, env=pod.environment, check=True)
    pod.start_bridge()
    pod.start_runner()
    try:
        assert pod.runner is not None
        group.take(pod.runner.pid)  # before it has started its workers
        pod.await_ready()
        yield pod
    finally:
        pod.close()


def test_room_is_that_of_the_group_that_the_kernel_has_put_us_into() -> None:
    with limited(300 * MIB) as group:
        asked = subprocess.Popen(
            [sys.executable, "-c", ROOM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        group.take(asked.pid)
        limit, free = map(int, asked.communicate("\n", timeout=120)[0].split())
    assert limit == 300 * MIB and 0 < free < limit


def test_T61_a_version_for_which_the_group_has_no_room_is_refused_with_figures(
    service: Callable[..., Service],
) -> None:
    with limited(400 * MIB) as group, serving_in(group, service(LARGE, model="Fitted", workers=1)) as pod:
        with pytest.raises(CallError, match=r"of 400 MiB \d+ MiB are free.*swap: in-place"):
            give(pod, v1=1)
        assert set(versions(pod)) == {"2"} and answered_by(pod) == "2", "nothing changes"


def test_T60_where_the_group_has_no_room_for_both_a_version_takes_over_in_place(
    service: Callable[..., Service],
) -> None:
    made = service(LARGE, model="Fitted", workers=1, keys=", swap: in-place")
    with limited(400 * MIB) as group, serving_in(group, made) as pod:
        give(pod, v1=1)
        wait_until(lambda: set(versions(pod)) == {"1"}, seconds=60, what="the other version")
        assert answered_by(pod) == "1" and "out of memory" not in pod.log("runner")


def test_T60_a_version_for_which_the_group_has_room_takes_over_beside(
    service: Callable[..., Service],
) -> None:
    with limited(1024 * MIB) as group, serving_in(group, service(LARGE, model="Fitted", workers=1)) as pod:
        give(pod, v1=1)
        wait_until(lambda: set(versions(pod)) == {"1"}, seconds=60, what="the end of the other version")
        assert answered_by(pod) == "1"
