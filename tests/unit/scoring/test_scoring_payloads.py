"""From payloads to events: what is refused, what it costs the neighbours (nothing), and what is said."""

import json
import logging
from typing import Annotated, Any, Literal

import msgspec
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunner import Event, Field, Model, Reject
from pyrunner.scoring import FAIL, REJECT, RowError, Scorer
from tests.typing.science_example import FlightDelays

OK: dict[str, Any] = {"flight_id": "1", "carrier": "UA", "origin": "JFK", "distance": 1400, "dep_delay": 12}
ANSWER = b'{"arr_delay":7.0,"late":false}'


def flight(**changes: Any) -> bytes:
    return json.dumps({**OK, **changes}).encode()


@pytest.fixture
def scorer() -> Scorer:
    model = FlightDelays()
    model.gain_ = {"UA": -5.0}
    return Scorer(model)


def the_error(scorer: Scorer, payload: bytes | None) -> RowError:
    """The one error of a batch in which `payload` has good neighbours."""
    scored = scorer.score([flight(), payload, flight()])
    assert scored.split() == [ANSWER, ANSWER]
    assert scored.counts is None
    (error,) = scored.errors
    assert error.index == 1
    return error


def test_good_payloads_of_any_buffer_are_answered_in_order(scorer: Scorer) -> None:
    scored = scorer.score([flight(dep_delay=d) for d in (1, 2, 3)])
    assert [json.loads(line)["arr_delay"] for line in scored.split()] == [-4.0, -3.0, -2.0]
    assert (scored.counts, scored.routes, scored.errors) == (None, None, [])
    assert scorer.score([memoryview(flight()), bytearray(flight())]).split() == [ANSWER, ANSWER]
    assert scorer.score([]).outputs == b""


@pytest.mark.parametrize(
    "payload",
    [
        flight() + flight(),
        flight() + b" x",
        flight() + b"\n{}",
        flight()[:-1],
        b"",
        b" ",
        b"\xef\xbb\xbf" + flight(),
        flight().replace(b"1400", b"NaN"),
        flight().replace(b"1400", b"Infinity"),
        flight().replace(b"1400", b"1e999"),
        flight().replace(b"UA", b"\xff\xfe"),
        flight().replace(b"{", b'{"skipped": "\xff", '),
        flight().replace(b"{", b'{"skipped": NaN, '),
        flight().replace(b"{", b'{"skipped": 1e999, '),
        b"[" * 100_000 + b"]" * 100_000,
        b'{"deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"null",
        b"[1, 2]",
        b'"text"',
    ],
    ids=lambda p: repr(p[:30]),
)
def test_what_is_not_one_json_event_fails_alone(scorer: Scorer, payload: bytes) -> None:
    error = the_error(scorer, payload)
    assert (error.kind, error.code) == (FAIL, "invalid_event")
    problems = json.loads(error.detail or b"")
    assert [set(p) for p in problems] == [{"field", "got", "expected"}]


def test_payloads_that_join_into_one_event_move_no_answer(scorer: Scorer) -> None:
    """Two values in one payload, and two halves in two: pasted together the count would be right and the answers shifted."""
    scored = scorer.score([b'{"a":1}{"a":2}', b'{"b":"', b'"}', flight()])
    assert [(e.index, e.code) for e in scored.errors] == [(i, "invalid_event") for i in range(3)]
    assert scored.split() == [ANSWER]


def test_every_problem_of_an_event_is_told(scorer: Scorer) -> None:
    error = the_error(scorer, flight(dep_delay="twelve", origin="BOS", distance=-1))
    assert json.loads(error.detail or b"") == [
        {"field": "origin", "got": "BOS", "expected": 'one of "EWR", "JFK", "LGA"'},
        {"field": "distance", "got": -1, "expected": "number > 0"},
        {"field": "dep_delay", "got": "twelve", "expected": "number or null"},
    ]
    assert error.reason.endswith('; dep_delay: got "twelve", expected number or null')


def test_a_misspelt_required_field_names_the_one_that_was_meant(scorer: Scorer) -> None:
    error = the_error(scorer, flight().replace(b"distance", b"distnace"))
    (problem,) = json.loads(error.detail or b"")
    assert (problem["field"], problem["got"]) == ("distance", "nothing")
    assert '"distnace" is unknown' in problem["expected"]


def test_values_of_fields_that_are_not_to_be_logged_are_hidden() -> None:
    class Payment(Event):
        card: Annotated[str, Field(log=False, max_length=4)]
        amount: float

    class Pays(Model[Payment, Payment]):
        def predict(self, events: list[Payment]) -> list[Payment]:
            return events

    scored = Scorer(Pays()).score(
        [b'{"card": "4111-1111", "amount": 1}', b'{"card": "4111-1111", "amount": 1']
    )
    for error in scored.errors:
        assert "4111" not in error.reason
        assert b"4111" not in (error.detail or b"")


def test_long_values_are_cut(scorer: Scorer) -> None:
    error = the_error(scorer, flight(dep_delay="x" * 100_000))
    assert len(error.reason) < 300
    assert len(error.detail or b"") < 300


def test_nested_problems_are_told_by_their_path() -> None:
    class Leg(Event):
        miles: float

    class Trip(Event):
        legs: list[Leg]

    class Trips(Model[Trip, Leg]):
        def predict(self, events: list[Trip]) -> list[Leg]:
            return [e.legs[0] for e in events]

    (error,) = Scorer(Trips()).score([b'{"legs": [{"miles": 1}, {"miles": "far"}]}']).errors
    assert json.loads(error.detail or b"") == [{"field": "legs[1].miles", "got": "far", "expected": "number"}]


def test_a_null_payload_is_rejected_unless_the_class_takes_it(scorer: Scorer) -> None:
    error = the_error(scorer, None)
    assert (error.kind, error.code) == (REJECT, "null_value")

    class Q(Event):
        x: float

    class Tombs(Model[Q, Q]):
        def predict(self, events: list[Q | None]) -> list[Q]:
            return [e or Q(x=-1.0) for e in events]

    assert Scorer(Tombs()).score([b'{"x":1}', None]).split() == [b'{"x":1.0}', b'{"x":-1.0}']


def test_pydantic_events_are_taken_by_their_own_rules() -> None:
    class Departure(pydantic.BaseModel):
        carrier: Literal["UA", "AA"]
        delay: float | None = None

    class Delay(pydantic.BaseModel):
        minutes: float

    class Delays(Model[Departure, Delay]):
        def predict(self, events: list[Departure]) -> list[Delay | Reject]:
            return [Reject("no delay") if e.delay is None else Delay(minutes=e.delay) for e in events]

    scored = Scorer(Delays()).score(
        [b'{"carrier":"UA","delay":3}', b'{"carrier":"XX"}', b'{"carrier":"AA"}', b"{"]
    )
    assert scored.split() == [b'{"minutes":3.0}']
    assert [(e.index, e.code) for e in scored.errors] == [
        (1, "invalid_event"),
        (2, "rejected"),
        (3, "invalid_event"),
    ]
    assert json.loads(scored.errors[0].detail or b"")[0]["field"] == "carrier"


class Tree(Event):
    size: int
    below: "list[Tree]" = msgspec.field(default_factory=list)


class Trees(Model[Tree, Tree]):
    def predict(self, events: list[Tree]) -> list[Tree]:
        return events


class TestUnknownFields:
    def test_rare_ones_are_counted_exactly_and_told_once(
        self, scorer: Scorer, caplog: pytest.LogCaptureFixture
    ) -> None:
        odd = flight(dep_dely=3)
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                scored = scorer.score([flight()] * 20 + [odd])
                assert scored.split() == [ANSWER] * 21
        assert scorer.unknown_fields == {"dep_dely": 3}
        assert not scorer.unknown_fields.sampled
        assert caplog.messages == [
            'Departure has no field "dep_dely", it is skipped. Did you mean dep_delay?'
        ]

    def test_events_with_them_are_of_the_very_same_class(self) -> None:
        class Leg(Event):
            miles: int

        class Trip(Event):
            first: Leg
            rest: list[Leg] = msgspec.field(default_factory=list)
            named: dict[str, Leg] = msgspec.field(default_factory=dict)

        seen: list[Trip] = []

        class Trips(Model[Trip, Leg]):
            def predict(self, events: list[Trip]) -> list[Leg]:
                seen.extend(events)
                return [e.first for e in events]

        scorer = Scorer(Trips())
        leg = '{"miles": 1, "colour": "red"}'
        payload = f'{{"first": {leg}, "rest": [{leg}], "named": {{"a": {leg}}}, "more": 1}}'.encode()
        for _ in range(3):
            assert scorer.score([payload] * 4).split() == [b'{"miles":1}'] * 4
        for trip in seen:
            assert type(trip) is Trip
            assert {type(x) for x in (trip.first, *trip.rest, *trip.named.values())} == {Leg}
        assert set(scorer.unknown_fields) == {"more", "first.colour", "rest.colour", "named.colour"}
        assert scorer.score([payload.replace(b"1,", b'"one",', 1)]).errors[0].code == "invalid_event"

    def test_where_all_events_have_them_they_are_sampled_and_nothing_else_changes(
        self, scorer: Scorer
    ) -> None:
        batch = [flight(dep_delay=d, gate="B7") for d in range(8)]
        answers = [scorer.score(batch) for _ in range(200)]
        assert len({a.outputs for a in answers}) == 1
        assert scorer.unknown_fields.sampled
        assert 8 <= scorer.unknown_fields["gate"] < 1600

    def test_sampling_still_refuses_what_is_no_text_or_no_event(self, scorer: Scorer) -> None:
        batch = [flight(gate="B7")] * 8
        for _ in range(3):
            scorer.score(batch)
        bad = flight(gate="B7").replace(b"B7", b"\xff")
        umlaut = flight(gate="ü").replace(b"\\u00fc", "ü".encode())
        scored = scorer.score([*batch, bad, flight(distance="far"), None, umlaut])
        assert [(e.index, e.code) for e in scored.errors] == [
            (8, "invalid_event"), (9, "invalid_event"), (10, "null_value"),
        ]  # fmt: skip
        assert len(scored.split()) == 9

    @pytest.mark.parametrize(
        "skipped",
        [
            "NaN",
            "-Infinity",
            "01",
            "1.",
            '"\\ud800"',
            '{"\\ud800": 1}',
            '"\\x"',
            '"\x01"',
            "[" * 2000 + "]" * 2000,
        ],
    )
    def test_sampling_holds_what_is_skipped_to_the_syntax_of_json(self, scorer: Scorer, skipped: str) -> None:
        """PROTOCOL.md, One verdict: all but the range of a skipped number, see below."""
        batch = [flight(gate="B7")] * 8
        for _ in range(3):
            scorer.score(batch)
        scored = scorer.score([*batch, flight(gate="B7").replace(b'"B7"', skipped.encode())])
        assert [(e.index, e.code) for e in scored.errors] == [(8, "invalid_event")]

    def test_sampling_looks_at_the_range_of_skipped_numbers_in_the_first_event_alone(
        self, scorer: Scorer
    ) -> None:
        """The one verdict that may differ by the way an event went: to look at all would cost what columns save."""
        good, far = flight(gate="B7"), flight(gate="B7").replace(b'"B7"', b"1e999")
        assert the_error(scorer, far).code == "invalid_event"
        for _ in range(3):
            scorer.score([good] * 8)
        assert scorer.score([good, far]).errors == []
        assert [(e.index, e.code) for e in scorer.score([far, good]).errors] == [(0, "invalid_event")]

    def test_a_class_that_holds_itself_is_strict_below(self) -> None:
        scorer = Scorer(Trees())
        scored = scorer.score(
            [b'{"size": 1, "more": 1, "below": [{"size": 2}]}', b'{"size": 1, "below": [{"more": 2}]}']
        )
        assert scored.split() == [b'{"size":1,"below":[{"size":2,"below":[]}]}']
        assert [e.index for e in scored.errors] == [1]
        assert scorer.unknown_fields == {"more": 1}

    def test_a_class_may_refuse_them(self) -> None:
        class Strict(Event, forbid_unknown_fields=True):
            x: float

        class Echo(Model[Strict, Strict]):
            def predict(self, events: list[Strict]) -> list[Strict]:
                return events

        (error,) = Scorer(Echo()).score([b'{"x": 1, "y": 2}']).errors
        assert error.code == "invalid_event"
        assert "y" in error.reason

    def test_their_number_is_bounded(self, scorer: Scorer) -> None:
        for i in range(500):
            scorer.score([flight(**{f"field_{i}": 1})] + [flight()] * 9)
        assert len(scorer.unknown_fields) == 201
        assert scorer.unknown_fields["(others)"] == 300


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.none(), st.just(flight())), max_size=12))
def test_any_bytes_are_an_answer_or_an_error_of_their_own(payloads: list[bytes | None]) -> None:
    model = FlightDelays()
    model.gain_ = {"UA": -5.0}
    scored = Scorer(model).score(payloads)
    good = [i for i, p in enumerate(payloads) if p == flight()]
    assert scored.split() == [ANSWER] * len(good)
    assert sorted(good + [e.index for e in scored.errors]) == list(range(len(payloads)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_lenient_and_the_strict_way_give_one_verdict(data: st.DataObject) -> None:
    """With an unknown field added, an event has the same fate as without."""
    changes = data.draw(
        st.dictionaries(st.sampled_from([*OK]), st.one_of(st.none(), st.integers(), st.text(max_size=3)))
    )
    model = FlightDelays()
    model.gain_ = {}
    scorer = Scorer(model)
    plain = scorer.score([flight(**changes)])
    more = scorer.score([msgspec.json.encode({**OK, **changes, "unheard_of": [1, {"a": None}]})])
    assert plain == more
