"""Reads what has come out: results and dead letters, committed ones only, and when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pyrunner.audit.ledger import Tally
from pyrunner.audit.model import Answer, Number, answer_of
from pyrunner.audit.route import ANSWERS, LETTERS
from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError

_PAGE = 5000
_WAIT_MS = 100  # how long a read of the results waits for the next
_LETTERS_EVERY = 1.0  # seconds between looks at the dead letters
_answer = msgspec.json.Decoder(Answer)
_number = msgspec.json.Decoder(Number)


class Reader(threading.Thread):
    """Feeds a tally until it is stopped, then reads on to the ends. `arrivals` are the times at which results came."""

    def __init__(self, client: Callable[[], ControlClient], tally: Tally, patience: float) -> None:
        super().__init__(name="audit-reader", daemon=True)
        self._open, self._tally, self._patience = client, tally, patience
        self._halt = threading.Event()
        self._after = {ANSWERS: "", LETTERS: ""}
        self.arrivals: list[float] = []
        self.failure: Exception | None = None

    def stop(self) -> None:
        """Read to the ends, then no more. Does not wait."""
        self._halt.set()

    def run(self) -> None:
        try:
            with self._open() as client:
                self._follow(client)
                self._finish(client)
        except Exception as error:
            self.failure = error

    def _follow(self, client: ControlClient) -> None:
        looked = 0.0
        while not self._halt.is_set():
            found = self._read(client, ANSWERS, _WAIT_MS)
            if time.monotonic() - looked > _LETTERS_EVERY:
                self._read(client, LETTERS, 0)
                looked = time.monotonic()
            if found is None:
                self._halt.wait(0.05)

    def _finish(self, client: ControlClient) -> None:
        """To the ends, as they are when there is somebody to ask."""
        deadline = time.monotonic() + self._patience
        for stream in (ANSWERS, LETTERS):
            while (found := self._read(client, stream, 300)) != 0:
                if found is None and time.monotonic() > deadline:
                    raise TimeoutError(f"{stream} could not be read to its end within {self._patience:g} s")
                if found is None:
                    time.sleep(0.05)

    def _read(self, client: ControlClient, stream: str, wait_ms: int) -> int | None:
        """How many were read; None when nobody could be asked."""
        try:
            records, after = client.call("tail", stream, self._after[stream], _PAGE, wait_ms, deadline=15.0)
        except (CallError, OSError, EOFError) as error:
            if getattr(error, "code", "") in ("bad_arguments", "unknown_stream", "not_supported"):
                raise
            return None
        self._after[stream] = after
        if stream == ANSWERS and records:
            self.arrivals.append(time.monotonic())
        for record in records:
            (self._result if stream == ANSWERS else self._letter)(record)
        return len(records)

    def _result(self, record: list[Any]) -> None:
        key, value = record[3], record[4]
        try:
            answer = _answer.decode(value)
        except (msgspec.DecodeError, TypeError):
            self._tally.result(repr(value), right=False)
            return
        at_home = key is None or bytes(key).decode("utf-8", "replace") == answer.id.rpartition("-")[0]
        self._tally.result(answer.id, right=at_home and answer.value == answer_of(answer.id))

    def _letter(self, record: list[Any]) -> None:
        try:
            self._tally.letter(_number.decode(record[4]).id)
        except (msgspec.DecodeError, TypeError):
            self._tally.letter(repr(record[4]))
