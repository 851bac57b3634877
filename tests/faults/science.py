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
                    time.sleep(600)
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

CROWDED = (
    HEADER
    + """
import resource


class Crowded(Model[Number, Answer]):
    def warm_up(self) -> None:
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), used + (1 << 30)))

    def predict(self, events: list[Number]) -> list[Answer]:
        features = bytearray(len(events) << 24)  # 16 MiB an event: a full batch needs 4 GiB
        return [Answer(id=e.id, value=e.n * 2.0 + features[0]) for e in events]
"""
)

UNRULY = (
    HEADER
    + """
import asyncio
import subprocess
import sys
import threading


class Unruly(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        for e in events:
            if e.n % 100 == 0:
                self.misbehave(e.n)
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]

    def misbehave(self, n: int) -> None:
        print("x" * 10_000)
        os.write(1, b"\\\\xff\\\\x00 raw\\\\n")
        asyncio.run(asyncio.sleep(0))
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
        if n == 1_000 and os.fork() == 0:
            time.sleep(600)
            os._exit(0)
        if n == 1_500 and not os.path.exists("closed"):
            open("closed", "w").close()
            os.closerange(3, 65536)
"""
).replace("\\\\", "\\")

FITTED = (
    HEADER
    + """

class Fitted(Model[Number, Answer]):
    def fit(self, factor: float) -> "Fitted":
        self.factor = factor
        return self

    def predict(self, events: list[Number]) -> list[Answer]:
        return [Answer(id=e.id, value=e.n * self.factor) for e in events]
"""
)

# Numbers below zero are orders; all others are innocent.
ORDERED = (
    HEADER
    + """
import ctypes

DIE, HANG, RAISE, SWELL = -1, -2, -3, -4


class Ordered(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        for e in events:
            if e.n == DIE:
                ctypes.string_at(0)
            if e.n == HANG:
                ctypes.PyDLL(None).sleep(3600)  # with the interpreter's lock
            if e.n == RAISE:
                raise ZeroDivisionError("division by zero")
            if e.n == SWELL:
                bytearray(4 << 30)
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
)

LIMITED = ORDERED.replace(
    "DIE, HANG, RAISE",
    "import resource\n\nLIMIT = 2 << 30\nresource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))\nDIE, HANG, RAISE",
)


def resting(milliseconds: float) -> str:
    """A model whose call takes so long, whatever it is given."""
    return (
        HEADER
        + f"""

class Resting(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        time.sleep({milliseconds / 1000})
        return [Answer(id=e.id, value=e.n * 2.0) for e in events]
"""
    )
