"""The same 1,000 events get the same answers by every way in, whatever container predict takes.

Integers, strings and booleans are equal, floats within 1e-9, and what is rejected is rejected everywhere for the same reason.
The first way, the plain call in one process, is the measure of all others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest

from .flights import PREDICT, Answer, Flights, Served, make, serving

TOLERANCE = 1e-9

Asked = Callable[[], list[Answer]]


@pytest.fixture(scope="module", params=PREDICT)
def flights(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Flights:
    return make(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def served(flights: Flights) -> Iterator[Served]:
    with serving(flights) as up:
        yield up


@pytest.fixture(scope="module")
def expected(flights: Flights) -> list[Answer]:
    return flights.plain_call()


@pytest.fixture(scope="module")
def of_a_list(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    return make("list", tmp_path_factory.mktemp("measure")).plain_call()


def test_the_plain_call_answers_what_a_list_of_events_is_answered(
    flights: Flights, expected: list[Answer], of_a_list: list[Answer]
) -> None:
    cancelled = [row["dep_delay"] is None for row in flights.rows()]
    assert any(cancelled)
    assert ["rejected" in answer for answer in expected] == cancelled
    assert_same(expected, of_a_list)


def test_predict_on_the_command_line(flights: Flights, expected: list[Answer]) -> None:
    assert_same(flights.predict(), expected)


def test_replay_over_the_wire(flights: Flights, expected: list[Answer]) -> None:
    assert_same(flights.replay(), expected)


def test_score_batch(flights: Flights, expected: list[Answer]) -> None:
    assert_same(flights.score_batch(), expected)


def test_score_stream_behind_the_broker(served: Served, expected: list[Answer]) -> None:
    assert_same(served.stream(), expected)


def test_a_list_over_http(served: Served, expected: list[Answer]) -> None:
    assert_same(served.list_of_rows(), expected)


def test_single_rows_over_http(served: Served, expected: list[Answer]) -> None:
    assert_same(served.row_by_row(), expected)


# A row that fits, and rows that do not, of which the bridge decides the first and Python the others.
GOOD = {"flight_id": "a", "carrier": "UA", "origin": "JFK", "distance": 700.0, "dep_delay": 3.0}
MISFITS = [
    ("distance", "far"), ("distance", -1), ("distance", None), ("carrier", "U"), ("origin", "LAX"), ("dep_delay", "late"),
]  # fmt: skip


def rows_with_misfits() -> list[dict[str, object]]:
    return [GOOD, *({**GOOD, field: value} for field, value in MISFITS), GOOD]


def test_rows_that_do_not_fit_are_refused_alone_by_field_and_value(served: Served) -> None:
    body = served.post(rows_with_misfits())
    assert [error is None for error in body["errors"]] == [True, *(False for _ in MISFITS), True]
    for (field, value), error in zip(MISFITS, body["errors"][1:-1], strict=True):
        (problem,) = error["errors"]
        assert (problem["field"], problem["got"]) == (field, value)
    assert body["predictions"][0] == body["predictions"][-1]


def test_frames_tables_and_arrays_come_by_columns(flights: Flights, served: Served) -> None:
    """By what the bridge counts. A failed event is tried once more, and goes as a payload where it comes with no other."""
    before = served.sent()
    served.list_of_rows()
    served.post(rows_with_misfits())

    def since() -> dict[str, int]:
        return {form: n - before.get(form, 0) for form, n in served.sent().items() if n > before.get(form, 0)}

    flights.shell.wait_for(lambda: sum(since().values()) >= 1000 + len(rows_with_misfits()))
    sent = since()
    if flights.container in ("list", "batch"):
        assert sent.keys() == {"payload"}
        return
    assert sent["columns"] == 1000 + 2
    assert len(MISFITS) <= sent["misfit"] + sent.get("payload", 0) <= 2 * len(MISFITS)


def assert_same(answers: list[Answer], expected: list[Answer]) -> None:
    assert len(answers) == len(expected) == 1000
    different = [at for at, (a, b) in enumerate(zip(answers, expected, strict=True)) if not same(a, b)]
    assert not different, f"event {different[0]}: {answers[different[0]]} instead of {expected[different[0]]}"


def same(answer: Answer, expected: Answer) -> bool:
    return answer.keys() == expected.keys() and all(
        math.isclose(answer[name], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
        if isinstance(value, float)
        else answer[name] == value and type(answer[name]) is type(value)
        for name, value in expected.items()
    )
