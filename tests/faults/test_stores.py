"""What a store cannot take, has lost, has dropped or has forgotten is told of, and nothing is skipped in silence (T18, T19, T34, T35)."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from pyrunner.bridge import find_bridge
from pyrunner.client.pending import CallError

from .programs import program
from .rig import wait_until
from .science import DOUBLE, twice
from .test_steps import end_at
from .traffic import publishing
from .watch import WatchedRig

Rigs = Callable[..., WatchedRig]


@pytest.mark.long
@pytest.mark.usefixtures("faulty_bridge")
def test_T18_a_full_disk_is_loud_acknowledges_nothing_that_is_not_stored_and_loses_nothing(rig: Rigs) -> None:
    """Full is what no file of the bridge may grow beyond: a real disk would have to be mounted."""
    pod = rig(DOUBLE, workers=2)
    pod.start_bridge()
    pod.start_runner()
    assert pod.bridge is not None
    pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(10_000))
    stop = threading.Event()
    refusals: list[str] = []

    def publish() -> None:
        for begin in range(10_000, 10_000_000, 100):
            if stop.is_set():
                return
            try:
                pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(begin, begin + 100))
            except CallError as error:
                refusals.append(str(error))
                stop.wait(0.05)

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    before = resource.prlimit(pod.bridge.pid, resource.RLIMIT_FSIZE)
    try:
        time.sleep(0.3)
        resource.prlimit(pod.bridge.pid, resource.RLIMIT_FSIZE, (256 << 10, before[1]))
        wait_until(lambda: len(refusals) > 5, seconds=120, what="publishing to be refused")
        wait_until(lambda: pod.metric("ds_sink_retries_total") > 0, seconds=120, what="results to be refused")
        resource.prlimit(pod.bridge.pid, resource.RLIMIT_FSIZE, before)
        said = len(refusals)
        acked = len(pod.ledger.acknowledged)
        wait_until(lambda: len(pod.ledger.acknowledged) > acked + 500, seconds=120, what="the store to go on")
    finally:
        stop.set()
        publisher.join(30)
    assert any("file too large" in text for text in refusals[:said]), refusals[:3]
    assert "file too large" in pod.log("bridge")

    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0, verdict


@pytest.mark.parametrize("damage", ["flipped", "torn"])
def test_T19_what_the_embedded_store_lost_while_it_was_down_is_counted_and_told(
    rig: Rigs, damage: str
) -> None:
    pod = rig(DOUBLE, workers=1, program=program("embedded:", settings={"gap": "continue"}))
    pod.start_bridge()
    pod.await_bridge()
    pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(5_000))
    pod.stop_bridge()
    blocks = [path for path in (pod.folder / "state").rglob("*.blk") if "numbers" in str(path)]
    block = max(blocks, key=lambda path: path.stat().st_size)  # the dead letters' are empty
    data = bytearray(block.read_bytes())
    if damage == "torn":
        del data[-1_000:]
    else:
        data[len(data) // 2] ^= 1
    block.write_bytes(data)

    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"q{n % 50}-{n}", "n": n} for n in range(5_000, 5_100))
    wait_until(
        lambda: {f"q{n % 50}-{n}" for n in range(5_000, 5_100)} <= {id for id, _ in pod.collect().results},
        seconds=120,
        what="what was published afterwards",
    )
    verdict = pod.ledger.audit(twice)
    print(verdict)
    lost = pod.metric("ds_embedded_lost_records_total") + pod.metric("ds_embedded_gap_records_total")
    assert 0 < len(verdict.lost) <= lost, "less was told than is gone"
    assert not verdict.wrong and not verdict.unexpected and not verdict.dead, verdict
    assert '"level":"ERROR"' in pod.log("bridge") or '"level":"WARN"' in pod.log("bridge")


@pytest.mark.usefixtures("faulty_bridge")
@pytest.mark.parametrize("away", ["longer", "shorter"])
def test_T34_a_bridge_that_was_away_for_longer_than_ids_are_remembered_tells_what_comes_twice(
    rig: Rigs, away: str
) -> None:
    window = {"longer": "1s", "shorter": "2m"}[away]
    pod = rig(DOUBLE, workers=1, program=program("embedded:", settings={"duplicates": window}))
    with publishing(pod):
        end_at(pod, "after-produce", 5)
        time.sleep(2.5)
        pod.start_bridge()
        wait_until(lambda: pod.status()["scored"] > 0, seconds=120, what="results")
    told = pod.metric("ds_window_exceeded_total")
    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    if away == "shorter":
        assert (verdict.duplicates, told) == (0, 0), verdict
    else:
        assert verdict.duplicates > 0, "nothing was stored before the end: the test shows nothing"
        assert told == 1
        assert "longer than message ids are remembered" in pod.log("bridge")


def passed_by(pod: WatchedRig) -> None:
    """A hundred events are scored, then retention drops what was published while the stream was paused."""
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"p-{n}", "n": n} for n in range(100))
    pod.wait_settled(seconds=150)
    pod.call("pause", "numbers")
    pod.publish({"id": f"p-{n}", "n": n} for n in range(100, 30_000))
    pod.call("resume", "numbers")


def test_T35_a_reader_that_retention_has_passed_stops_and_says_so(rig: Rigs) -> None:
    pod = rig(DOUBLE, workers=1, program=program("embedded:", settings={"max_bytes": "1MiB"}))
    passed_by(pod)
    wait_until(
        lambda: pod.metric("ds_source_errors_total") > 1, seconds=30, what="the source to fail, and again"
    )
    assert pod.status()["scored"] == 100, "events were skipped in silence"
    assert pod.metric("ds_embedded_gap_records_total") > 0
    assert "gap: continue" in pod.log("bridge") or "gap=continue" in pod.log("bridge"), (
        "the log names the way on"
    )
    pod.stop_runner()
    pod.stop_bridge()
    assert run_to_the_end(pod) == 1


def test_T35_a_reader_that_may_go_on_behind_what_retention_dropped_counts_it(rig: Rigs) -> None:
    pod = rig(
        DOUBLE, workers=1, program=program("embedded:", settings={"max_bytes": "1MiB", "gap": "continue"})
    )
    passed_by(pod)
    wait_until(
        lambda: (
            pod.metric("ds_events_in_total") + pod.metric("ds_embedded_gap_records_total")
            == len(pod.ledger.acknowledged)
        ),
        seconds=90,
        what="the rest to be read or counted as missing",
    )
    wait_until(lambda: pod.status()["unsettled"] == 0, seconds=120, what="the rest to be settled")
    assert pod.metric("ds_embedded_gap_records_total") > 0
    verdict = pod.collect().audit(twice)
    assert not verdict.wrong and not verdict.unexpected and not verdict.dead, verdict


def run_to_the_end(pod: WatchedRig) -> int:
    """The exit code of a bridge that is to end with its input; a worker joins it."""
    command = [
        str(find_bridge()), "run", "--program", "program.yaml", "--command=score-stream", "--exit-at-end",
        "--listen", f"tcp://127.0.0.1:{pod.port}", "--token-file", str(pod.token), "--state", "state",
    ]  # fmt: skip
    pod.bridge = subprocess.Popen(command, cwd=pod.folder, env=pod.environment, stderr=subprocess.DEVNULL)
    pod.start_runner()
    return pod.bridge.wait(120)
