"""What an audit scores: events that are nothing but an id, and a model whose answer to each is known."""

from __future__ import annotations

import zlib
from typing import Annotated

from pyrunner.events import Event
from pyrunner.fields import Key
from pyrunner.model import Model


class Number(Event):
    """One event. `id` is `producer-counter`, `key` its producer."""

    id: str
    key: Annotated[str, Key()]
    poison: bool = False  # planned to die: no answer, a dead letter


class Answer(Event):
    """What has to come out for it."""

    id: str
    value: int


def answer_of(event: str) -> int:
    """f(id)."""
    return zlib.crc32(event.encode())


class Known(Model[Number, Answer]):
    """Answers f(id), and chokes on poison."""

    def predict(self, events: list[Number]) -> list[Answer]:
        return [self._answer(e) for e in events]

    def _answer(self, event: Number) -> Answer:
        if event.poison:
            raise ValueError("a planned poison")
        return Answer(id=event.id, value=answer_of(event.id))
