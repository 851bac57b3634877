"""Publishes numbered events, and knows which of them the broker has.

A batch whose answer was lost may be stored or not: it counts as attempted, and is published again under new ids, so that what
counts as acknowledged is known to be stored. The new ids belong to new producers, because the old batch may still arrive, and
behind the new one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from pyrunner.audit.ledger import Tally
from pyrunner.audit.model import Number
from pyrunner.audit.route import NUMBERS
from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError

KEYS = 50  # producers, each a key of its own
BATCH = 500
AHEAD = 10_000  # acknowledged events that may be open,
_PARTS = 20  # and at most this part of all: so that events flow until the last kill
_SECONDS = 15.0  # one call
_OURS = ("bad_arguments", "unknown_stream", "unknown_method", "not_supported")  # codes that no waiting mends
_encode = msgspec.json.Encoder().encode


@dataclass
class Flow:
    """How much is published, how fast, and how many of them are poison."""

    events: int
    rate: float | None = None
    poisons: int = 0

    @property
    def ahead(self) -> int:
        """How many acknowledged events may be open."""
        return min(AHEAD, max(BATCH, self.events // _PARTS))


@dataclass
class _Numbering:
    """Ids that no two events share."""

    life: int = 0  # raised when an answer was lost
    next: dict[str, int] = field(default_factory=dict)

    def take(self, number: int) -> tuple[str, str]:
        """The id and the producer of an event."""
        producer = f"p{number % KEYS}" + (f"r{self.life}" if self.life else "")
        counter = self.next.get(producer, 0)
        self.next[producer] = counter + 1
        return f"{producer}-{counter}", producer


class Producer(threading.Thread):
    """Publishes a flow, and goes on as long as there is a need for `more`; `failure` says why it could not."""

    def __init__(
        self,
        client: Callable[[], ControlClient],
        tally: Tally,
        flow: Flow,
        patience: float,
        more: Callable[[], bool] = lambda: False,
        after: Producer | None = None,
    ) -> None:
        super().__init__(name="audit-producer", daemon=True)
        self._open, self._tally, self._flow, self._patience = client, tally, flow, patience
        self._more = more
        self._ids: _Numbering = after._ids if after else _Numbering()  # goes on counting
        self._halt = threading.Event()
        self._every = max(1, flow.events // flow.poisons) if flow.poisons else 0
        self.failure: Exception | None = None
        self.again = 0  # batches whose answers were lost

    def stop(self) -> None:
        """Publish no more. Does not wait."""
        self._halt.set()

    def run(self) -> None:
        try:
            with self._open() as client:
                self._publish(client)
        except Exception as error:
            self.failure = error

    def _publish(self, client: ControlClient) -> None:
        began, done = time.monotonic(), 0
        size = BATCH if self._flow.rate is None else max(1, min(BATCH, int(self._flow.rate / 20)))
        while (done < self._flow.events or self._more()) and not self._halt.is_set():
            self._hold(began, done)
            some = min(size, self._flow.events - done) if done < self._flow.events else size
            if self._deliver(client, done, some):
                done += some

    def _hold(self, began: float, done: int) -> None:
        """Wait until so many are due, and until not too many are open."""
        if self._flow.rate:
            self._halt.wait(max(0.0, began + done / self._flow.rate - time.monotonic()))
        while self._tally.acknowledged - self._tally.settled > self._flow.ahead and not self._halt.wait(0.01):
            pass

    def _deliver(self, client: ControlClient, first: int, some: int) -> bool:
        """Whether they were acknowledged before somebody called stop."""
        deadline = time.monotonic() + self._patience
        while not self._halt.is_set():
            ids, records, poisons = self._compose(first, some)
            self._tally.attempt(ids, poisons)
            try:
                client.call("publish", NUMBERS, records, deadline=_SECONDS)
            except (CallError, OSError, EOFError) as error:
                if getattr(error, "code", "") in _OURS or time.monotonic() > deadline:
                    raise
                self.again += 1
                self._ids.life += 1
                self._halt.wait(0.05)
                continue
            self._tally.acknowledge(ids)
            return True
        return False

    def _compose(self, first: int, some: int) -> tuple[list[str], list[list[bytes]], set[str]]:
        ids, records, poisons = [], [], set()
        for number in range(first, first + some):
            event, producer = self._ids.take(number)
            poison = bool(self._every) and number % self._every == self._every // 2
            if poison:
                poisons.add(event)
            ids.append(event)
            records.append([_encode(Number(id=event, key=producer, poison=poison)), producer.encode()])
        return ids, records, poisons
