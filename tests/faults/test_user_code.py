"""What user code does to its process harms nobody (T7, T37)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .cgroups import hierarchies, memory_group
from .rig import Rig, wait_until
from .science import CROWDED, HEADER, UNRULY, twice


def test_T7_a_batch_that_does_not_fit_into_memory_comes_again_in_parts(rig: Callable[..., Rig]) -> None:
    pod = rig(CROWDED, model="Crowded", workers=1)
    pod.start_bridge()
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(500))
    pod.start_runner()

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (500, 0, 0), verdict
    assert "out of memory" in pod.log("runner") and "out_of_memory" in pod.log("bridge")


def test_T37_user_code_that_prints_forks_and_closes_descriptors_harms_nobody(rig: Callable[..., Rig]) -> None:
    pod = rig(UNRULY, model="Unruly", workers=2)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(3_000))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (3_000, 0, 0), verdict
    assert "closed descriptors" in pod.log("runner")


GREEDY = (
    HEADER
    + """

class Greedy(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        if any(e.n == 1_000 for e in events) and not os.path.exists("greedy"):
            open("greedy", "w").close()
            kept = []
            while True:
                kept.append(os.urandom(1 << 20))  # touched, so that it is real
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)


@pytest.fixture
def small_memory() -> Iterator[Callable[[int], None]]:
    """Puts a process, and what it starts from then on, under a limit of the kernel's: 400 MiB."""
    with memory_group(400 << 20) as group:
        if group is None:
            missing = "the kernel gives us no memory cgroup: be root, have sudo without password, or a delegated one"
            pytest.fail(missing) if os.environ.get("CI") else pytest.skip(missing)
        yield group.take


def test_T7_a_worker_that_the_kernel_kills_for_memory_loses_nothing_and_is_named_so(
    rig: Callable[..., Rig], small_memory: Callable[[int], None]
) -> None:
    pod = rig(GREEDY, model="Greedy", workers=2, deadline="30s")
    pod.start_bridge()
    pod.start_runner()
    assert pod.runner is not None
    small_memory(pod.runner.pid)
    for pid in pod.workers():  # which it may have started before
        small_memory(pid)
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(3_000))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (3_000, 0, 0), verdict
    assert "out of memory: the kernel killed it" in pod.log("runner")
    assert pod.metric("ds_worker_deaths_total", cause="oom") == 1
    assert pod.status()["suspects"] == 0, "memory is nobody's fault"
    pod.close()  # before its group is removed


STUBBORN = CROWDED.replace("len(events) << 24", "2 << 30 if any(e.n == 40 for e in events) else 1")


def test_T7_an_event_that_fits_into_no_memory_is_told_of_and_never_dead(rig: Callable[..., Rig]) -> None:
    pod = rig(STUBBORN, model="Crowded", workers=1)
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a{n}-{n}", "n": n} for n in range(50))
    wait_until(
        lambda: pod.metric("ds_out_of_memory_total", size="one") >= 2, seconds=120, what="two tries alone"
    )
    assert "does not fit into a worker's memory even alone" in pod.log("bridge")
    assert '"offset":41' in pod.log("bridge")
    wait_until(lambda: len(pod.collect().results) == 49, seconds=120, what="the others to be answered")
    assert pod.ledger.dead == [], "it waits"


V2 = "cgroup2 {0} cgroup2 rw,nsdelegate 0 0\n"
V1 = "cgroup {0}/cpu cgroup rw,cpu 0 0\ncgroup {0}/memory cgroup rw,memory 0 0\n"


@pytest.mark.parametrize(
    ("mounts", "own", "version", "group"),
    [
        (V2, "0::/system.slice/runner.service\n", 2, "system.slice/runner.service"),
        (V2, "0::/../elsewhere\n", 2, ""),
        (V1, "4:memory:/docker/7f\n3:cpu:/\n", 1, "memory"),
        (V1, "4:memory:/here\n0::/\n", 1, "memory/here"),
    ],
    ids=["2", "2, of another name space", "1, a container's part", "1"],
)
def test_T7_the_group_of_a_process_is_found_in_either_version_of_cgroups(
    tmp_path: Path, mounts: str, own: str, version: int, group: str
) -> None:
    for place in ("system.slice/runner.service", "cpu", "memory/here"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "mounts").write_text(mounts.format(tmp_path))
    (tmp_path / "cgroup").write_text(own)
    (found,) = hierarchies(tmp_path)
    assert (found.version, found.ours.resolve()) == (version, tmp_path / group)
    assert found.parents()[-1] == found.mount, "as far as it can be seen, and no further"
