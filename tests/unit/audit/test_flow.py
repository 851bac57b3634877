"""Numbered events go in under ids that are never used twice, and come out into the ledger."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Self

from pyrunner.audit import Flow, Tally
from pyrunner.audit.model import Answer, Known, Number, answer_of
from pyrunner.audit.producer import Producer
from pyrunner.audit.reader import Reader
from pyrunner.client.pending import CallError, Unreachable


class Broker:
    """A control client's other side: keeps what is published, and loses some answers."""

    def __init__(self, failing: Callable[[int], Exception | None] = lambda call: None) -> None:
        self.stored: list[list[bytes]] = []
        self.answers: list[list[Any]] = []
        self.letters: list[list[Any]] = []
        self._failing, self._calls = failing, 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def call(self, method: str, *args: Any, deadline: float) -> Any:
        if method == "publish":
            self._calls += 1
            self.stored += args[1]
            if failure := self._failing(self._calls):
                raise failure
            return len(args[1])
        stream, cursor, most = args[:3]
        kept = {"answers": self.answers, "letters": self.letters}[stream]
        begin = int(cursor or 0)
        return kept[begin : begin + most], str(min(begin + most, len(kept)))


def produce(broker: Broker, flow: Flow) -> Tally:
    tally = Tally()
    producer = Producer(lambda: broker, tally, flow, patience=5.0)  # type: ignore[arg-type, return-value]
    producer.start()
    producer.join(90)
    if producer.failure:
        raise producer.failure
    return tally


def read(broker: Broker, tally: Tally) -> None:
    reader = Reader(lambda: broker, tally, patience=5.0)  # type: ignore[arg-type, return-value]
    reader.stop()  # to the ends at once
    reader.run()
    if reader.failure:
        raise reader.failure


def result(key: bytes, event: str, value: int) -> list[Any]:
    return [0, 0, 0, key, json.dumps({"id": event, "value": value}).encode(), []]


def test_every_event_has_an_id_and_its_producer_as_key() -> None:
    broker = Broker()
    tally = produce(broker, Flow(events=400, poisons=4))
    events = [json.loads(value) for value, _ in broker.stored]
    assert len({event["id"] for event in events}) == tally.acknowledged == 400
    assert all(
        event["key"] == event["id"].rpartition("-")[0] == key.decode()
        for event, (_, key) in zip(events, broker.stored, strict=True)
    )
    assert sum(event["poison"] for event in events) == 4


def test_a_batch_without_an_answer_is_published_again_by_new_producers() -> None:
    broker = Broker(lambda call: Unreachable("killed") if call == 1 else None)
    tally = produce(broker, Flow(events=400))
    ids = [json.loads(value)["id"] for value, _ in broker.stored]
    assert (tally.attempted, tally.acknowledged) == (800, 400)
    assert len(set(ids)) == 800
    assert {i.rpartition("-")[0] for i in ids[:400]}.isdisjoint(i.rpartition("-")[0] for i in ids[400:])


def test_what_no_waiting_mends_ends_the_producer() -> None:
    broker = Broker(lambda call: CallError("unknown_stream", "numbers", False))
    try:
        produce(broker, Flow(events=10))
    except CallError as error:
        assert error.code == "unknown_stream"
    else:
        raise AssertionError("it went on")


def test_results_are_right_on_their_own_key_alone() -> None:
    broker = Broker()
    tally = produce(broker, Flow(events=4))
    broker.answers = [
        result(b"p0", "p0-0", answer_of("p0-0")),
        result(b"p0", "p1-0", answer_of("p1-0")),  # its neighbour's place
        result(b"p2", "p2-0", answer_of("p2-0") + 1),
        [0, 0, 0, b"p3", b"no JSON", []],
    ]
    broker.letters = [[0, 0, 0, b"p3", json.dumps({"id": "p3-0", "key": "p3"}).encode(), []]]
    read(broker, tally)
    verdict = tally.verdict()
    assert list(verdict.wrong) == ["p1-0", "p2-0", repr(b"no JSON")]
    assert (len(verdict.lost), len(verdict.unexpected), list(verdict.innocents)) == (0, 1, ["p3-0"])


def test_the_model_answers_what_the_ledger_expects_and_chokes_on_poison() -> None:
    assert Known().predict([Number(id="p0-0", key="p0")]) == [Answer(id="p0-0", value=answer_of("p0-0"))]
    try:
        Known().predict([Number(id="p0-1", key="p0", poison=True)])
    except ValueError as error:
        assert "poison" in str(error)
    else:
        raise AssertionError("it swallowed the poison")
