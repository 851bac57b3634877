"""Examples of the API are rows that the model keeps, without what is kept out of logs."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pyrunner import Event, Field, Model, To
from pyrunner.examples import MOST_BYTES, with_examples
from pyrunner.protocol.frames import MAX_DESCRIBE
from pyrunner.scoring import Scorer


class Plain(Event):
    x: float


class Optional(Event):
    x: float
    card: Annotated[str | None, Field(log=False)] = None


class Required(Event):
    card: Annotated[str, Field(log=False)]


class Nested(Event):
    x: float
    cards: list[Required]


def described(asked: type, answered: type, rows: list[bytes], answer: Any) -> dict[str, Any]:
    class Echo(Model[asked, answered]):  # type: ignore[valid-type]
        def predict(self, events: list[asked]) -> list[answered]:  # type: ignore[valid-type]
            return [answer(e) for e in events]

    scorer = Scorer(Echo())
    said = with_examples(scorer.signature.describe(), scorer.signature, rows, scorer.warm_up(rows))
    found: dict[str, Any] = json.loads(said)
    return found


def examples(asked: type, answered: type, rows: list[bytes], answer: Any) -> Any:
    return described(asked, answered, rows, answer).get("examples")


def test_some_rows_and_their_answers_are_told() -> None:
    rows = [b'{"x":%d}' % n for n in range(5)]
    assert examples(Plain, Plain, rows, lambda e: Plain(x=e.x + 1)) == {
        "input": [{"x": 0}, {"x": 1}, {"x": 2}],
        "output": [{"x": 1.0}, {"x": 2.0}, {"x": 3.0}],
    }
    assert examples(Plain, Plain, [], lambda e: e) is None


def test_what_is_kept_out_of_logs_is_kept_out_of_examples() -> None:
    row = [b'{"x":1,"card":"4711"}']
    assert examples(Optional, Plain, row, lambda e: Plain(x=0)) == {
        "input": [{"x": 1}],
        "output": [{"x": 0.0}],
    }
    assert examples(Required, Plain, [b'{"card":"4711"}'], lambda e: Plain(x=0)) is None
    assert examples(Nested, Plain, [b'{"x":1,"cards":[{"card":"4711"}]}'], lambda e: Plain(x=0)) is None
    hidden = examples(Plain, Required, [b'{"x":1}'], lambda e: Required(card="4711"))
    assert hidden == {"input": [{"x": 1}], "output": []}


def test_long_rows_and_a_full_description_leave_no_example() -> None:
    class Text(Event):
        text: str

    long = json.dumps({"text": "x" * MOST_BYTES}).encode()
    assert examples(Text, Plain, [long], lambda e: Plain(x=0)) is None
    scorer = Scorer(_Same())
    full = json.dumps({"input": "x" * (MAX_DESCRIBE - 20)}).encode()
    assert with_examples(full, scorer.signature, [b'{"x":1}'], None) == full
    assert with_examples(b"", scorer.signature, [b'{"x":1}'], None) == b""


def test_outputs_for_other_streams_are_no_example() -> None:
    assert examples(Plain, Plain, [b'{"x":1}'], lambda e: To("alerts", e))["output"] == []


class _Same(Model[Plain, Plain]):
    def predict(self, events: list[Plain]) -> list[Plain]:
        return events
