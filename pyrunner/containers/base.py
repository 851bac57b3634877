"""What all containers share: the batch they are made from, the protocol they fulfil, and how they refuse an answer."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar, Protocol

from pyrunner.context import Context
from pyrunner.meta import Meta
from pyrunner.schema import EventSchema
from pyrunner.signature import Signature


class TypedBatch:
    """A batch of decoded events. Containers of rows read `events`, containers of columns `column(name)` alone; what comes as columns
    over the wire is another class with the same two members (columns/read.py), and has a way of its own, `build_columns`."""

    __slots__ = ("events", "meta", "schema")

    def __init__(self, schema: EventSchema, events: list[Any], meta: Meta) -> None:
        self.schema = schema
        self.events = events
        self.meta = meta

    def __len__(self) -> int:
        return len(self.events)

    def column(self, name: str) -> list[Any]:
        """The values of one field, None where there is none."""
        return list(map(attrgetter(name), self.events))


class Container(Protocol):
    """One way to hand events to a model and to take its answers."""

    name: ClassVar[str]

    def __init__(self, signature: Signature) -> None: ...

    def build(self, batch: TypedBatch) -> Any:
        """What the model's method gets. It belongs to the model for ever: nothing in it is used again."""
        ...

    def outcomes(self, answer: Any, ctx: Context) -> list[Any]:
        """The model's answer as one outcome for each of `ctx.n` events, in their order.

        An outcome is an output, a Reject, a To, None, or a list of outputs and To. Outputs are not looked into here. Raises
        BadAnswer when the answer as a whole cannot be told apart into events.
        """
        ...


class BadAnswer(Exception):
    """An answer whose parts cannot be assigned to events. `code` is from the table in scoring/failures.py.

    `problem` goes on after the method's name: `returned 254 rows for 256 events`. `systematic` says that the code is at
    fault whatever the events are, so that trying the halves of the batch would teach nothing.
    """

    def __init__(self, code: str, problem: str, *, fix: str = "", systematic: bool = False) -> None:
        super().__init__(problem)
        self.code = code
        self.problem = problem
        self.fix = fix
        self.systematic = systematic


WRONG_COUNT_FIX = "Return Reject for rows you cannot score."


def wrong_count(got: int, expected: int, what: str = "rows") -> BadAnswer:
    return BadAnswer("wrong_count", f"returned {got} {what} for {expected} events", fix=WRONG_COUNT_FIX)


def from_sequence(answer: Sequence[Any], n: int) -> list[Any]:
    """A list of outcomes, of the right length."""
    outcomes = list(answer)
    if len(outcomes) != n:
        raise wrong_count(len(outcomes), n)
    return outcomes


def with_rejections(outcomes: list[Any], ctx: Context) -> list[Any]:
    for row, rejection in ctx.rejected.items():
        outcomes[row] = rejection
    return outcomes
