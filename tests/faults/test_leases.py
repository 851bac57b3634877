"""A worker that answers what it may not changes nothing (T28, T31)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable

from pyrunner.client import Connection, Identity, LinkLost
from pyrunner.protocol import Batch, ByeCode, Result, Role, codec
from pyrunner.protocol.preface import read_token

from .rig import Rig, wait_until
from .science import DOUBLE, twice


class Liar:
    """An events connection by hand, which answers as it is told."""

    def __init__(self, pod: Rig, name: str, events: int = 256) -> None:
        identity = Identity(program="rig", command="score-stream", worker=name)
        token = read_token(pod.token.read_bytes())
        self.connection = Connection.open(f"tcp://127.0.0.1:{pod.port}", token, Role.EVENTS, identity)
        self.connection.send(self.connection.session.ready(events, 1 << 20))

    def batch(self) -> Batch:
        frame = self.connection.receive(60)
        assert isinstance(frame, Batch), frame
        return frame

    def answer(self, batch: Batch, /, **changes: int) -> None:
        name = {"nonce": batch.nonce, "batch": batch.batch, "epoch": batch.epoch} | changes
        lines = b"".join(codec_answer(bytes(p)) for p in batch.payloads if p is not None)
        result = Result(
            name["nonce"], name["batch"], name["epoch"], 0, len(batch.payloads), lines, None, None, []
        )
        self.connection.send(codec.encode(result, 1 << 24))

    def farewell(self) -> LinkLost:
        try:
            while True:
                self.connection.receive(60)
        except LinkLost as lost:
            return lost


def codec_answer(payload: bytes) -> bytes:
    event = json.loads(payload)
    return json.dumps({"id": event["id"], "value": event["n"] * 2.0}).encode() + b"\n"


def test_T28_results_of_no_lease_or_of_one_answered_are_counted_and_dropped(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, deadline="100s")
    pod.start_bridge()
    pod.await_bridge()
    liar = Liar(pod, "liar")
    pod.publish({"id": f"a-{n}", "n": n} for n in range(10))
    batch = liar.batch()
    liar.answer(batch, nonce=batch.nonce ^ 1)  # another life of the bridge
    liar.answer(batch, epoch=batch.epoch + 1)  # taken back
    liar.answer(batch, batch=batch.batch + 7)  # not given yet
    liar.answer(batch)
    liar.answer(batch)  # twice
    settled = len(batch.payloads)
    while settled < 10:
        settled += len((batch := liar.batch()).payloads)
        liar.answer(batch)

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates) == (10, 0), verdict
    wait_until(lambda: pod.metric("ds_results_dropped_total") == 4, seconds=120, what="four results dropped")
    assert pod.metric("ds_results_dropped_total", reason="other_bridge") == 1


def test_T28_a_result_before_its_turn_ends_the_worker_and_loses_nothing(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, order="none", deadline="100s")
    pod.start_bridge()
    pod.await_bridge()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(2_000))
    liar = Liar(pod, "liar", 1_024)
    first, second = liar.batch(), liar.batch()
    assert first.batch != second.batch
    liar.answer(second)
    lost = liar.farewell()
    assert lost.bye is not None and lost.bye.code == ByeCode.ORDER

    pod.start_runner()
    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (2_000, 0, 0), verdict


def test_T31_a_worker_that_grants_nothing_gets_nothing_and_keeps_nobody_waiting(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(DOUBLE, workers=1)
    pod.start_bridge()
    pod.await_bridge()
    miser = Liar(pod, "miser", 0)
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(2_000))

    verdict = pod.wait_settled(seconds=150).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates) == (2_000, 0), verdict
    wait_until(lambda: len(pod.status()["workers"]) == 2, seconds=120, what="both workers")
    with contextlib.closing(miser.connection):
        assert miser.connection.receive(0.2) is None
