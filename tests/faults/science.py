"""Model files that the fault tests put into a rig, as text: a worker imports them by name in its own process."""

HEADER = """\
from typing import Annotated
import os
import time
from pyrunner import Event, Key, Model


class Number(Event):
    id: Annotated[str, Key()]
    n: int


class Answer(Event):
    id: str
    value: float
"""

DOUBLE = (
    HEADER
    + """

class Double(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)

TREACHEROUS = (
    HEADER
    + """
import ctypes

SEGFAULT, HANG = 1234, 5678
RAISE = {42, 4242, 6000, 6001, 9999}


class Treacherous(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        return [self.answer(e) for e in events]

    def answer(self, e: Number) -> Answer:
        if e.n == SEGFAULT:
            ctypes.string_at(0)
        if e.n == HANG:
            time.sleep(3600)
        if e.n in RAISE:
            raise ZeroDivisionError("division by zero")
        return Answer(id=e.id, value=e.n * 2.0)
"""
)

OUTAGE = (
    HEADER
    + """

class Outage(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        if os.path.exists("outage"):
            raise RuntimeError("the feature service is down")
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)

UNLOADABLE = (
    HEADER
    + """

class Unloadable(Model[Number, Answer]):
    def warm_up(self) -> None:
        raise RuntimeError("weights are missing")

    def predict(self, events: list[Number]) -> list[Answer]:
        return []
"""
)

FORKING = (
    HEADER
    + """

class Forking(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        for e in events:
            if e.n == 500 and not os.path.exists("forked"):
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
                open("forked", "w").close()
                os._exit(3)
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)


def twice(event: str) -> float:
    """f(id) of all of them: ids end in the number."""
    return float(event.rsplit("-", 1)[1]) * 2.0


HOLDING = (
    HEADER
    + """
import ctypes


class Holding(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        for e in events:
            if e.n == 500 and not os.path.exists("held"):
                open("held", "w").close()
                self.hold()
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]

    def hold(self) -> None:
        ctypes.PyDLL(None).sleep(3600)  # in C, with the interpreter's lock
"""
)
