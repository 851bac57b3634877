"""A batch that fails as a whole: culprits are found alone, neighbours are answered, nobody gets another's answer."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyrunner import Context, Event, Many, Model, Reject
from pyrunner.scoring import FAIL, Meta, Scored, Scorer, Surroundings


class Q(Event):
    x: float


class A(Event):
    y: float


def payloads(n: int) -> list[bytes]:
    return [json.dumps({"x": i}).encode() for i in range(n)]


def answers(scored: Scored) -> list[float]:
    return [json.loads(line)["y"] for line in scored.split()]


class Raises(Model[Q, A]):
    """Raises for whole batches that hold a poison; counts its calls."""

    def __init__(self, *poisons: float) -> None:
        self.poisons = set(poisons)
        self.calls = 0

    def predict(self, events: list[Q]) -> list[A]:
        self.calls += 1
        return [self.answer(e) for e in events]

    def answer(self, e: Q) -> A:
        if e.x in self.poisons:
            raise ZeroDivisionError("no good")
        return A(y=-e.x)


def test_culprits_fail_alone_and_their_neighbours_are_answered() -> None:
    model = Raises(17, 99)
    scored = Scorer(model).score(payloads(256))
    assert answers(scored) == [-float(i) for i in range(256) if i not in (17, 99)]
    assert [(e.index, e.kind, e.code) for e in scored.errors] == [
        (17, FAIL, "exception"),
        (99, FAIL, "exception"),
    ]
    assert model.calls <= 1 + 2 * 2 * 8


def test_an_exception_is_told_from_the_users_frame() -> None:
    (error,) = Scorer(Raises(0)).score(payloads(1)).errors
    assert error.reason.startswith("ZeroDivisionError: no good (test_scoring_isolation.py:")
    assert error.reason.endswith(" in answer)")
    detail = json.loads(error.detail or b"")
    lines = detail["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert "test_scoring_isolation.py" in lines[1]
    assert "scorer.py" not in detail["traceback"]
    assert detail["place"].startswith("test_scoring_isolation.py:")


def test_a_traceback_stays_within_the_bounds_of_the_wire() -> None:
    class Deep(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[A]:
            return self.down(500)

        def down(self, n: int) -> Any:
            if n == 0:
                raise ValueError("ü" * 20_000)
            return self.down(n - 1) if n % 2 else self.other(n - 1)

        def other(self, n: int) -> Any:
            return self.down(n)

    (error,) = Scorer(Deep()).score(payloads(1)).errors
    assert len(error.reason.encode()) <= 8192
    assert len(error.detail or b"") <= 8192


def test_an_exception_that_does_not_come_again_costs_nobody_anything() -> None:
    class Once(Raises):
        def predict(self, events: list[Q]) -> list[A]:
            self.calls += 1
            if self.calls == 1:
                raise KeyError("passing")
            return [A(y=-e.x) for e in events]

    scored = Scorer(Once()).score(payloads(8))
    assert (len(answers(scored)), scored.errors) == (8, [])


def test_all_events_failing_are_all_told() -> None:
    scored = Scorer(Raises(*range(8))).score(payloads(8))
    assert [e.index for e in scored.errors] == list(range(8))
    assert scored.outputs == b""


def test_bad_payloads_and_culprits_in_one_batch() -> None:
    batch = payloads(8)
    batch[2] = b"?"
    scored = Scorer(Raises(5)).score(batch, Meta("s", [0, 100, 8]))
    assert [(e.index, e.code) for e in scored.errors] == [(2, "invalid_event"), (5, "exception")]
    assert answers(scored) == [-0.0, -1.0, -3.0, -4.0, -6.0, -7.0]


class Drops(Model[Q, A]):
    def predict(self, events: list[Q]) -> list[A]:
        return [A(y=-e.x) for e in events if e.x not in (17, 99)]


def test_a_wrong_number_of_results_names_the_rows_and_the_fix() -> None:
    scored = Scorer(Drops()).score(payloads(256))
    assert answers(scored) == [-float(i) for i in range(256) if i not in (17, 99)]
    assert [(e.index, e.kind, e.code) for e in scored.errors] == [
        (17, FAIL, "wrong_count"),
        (99, FAIL, "wrong_count"),
    ]
    line = Drops.predict.__code__.co_firstlineno
    assert {e.reason for e in scored.errors} == {
        f"test_scoring_isolation.py:{line} Drops.predict returned 254 rows for 256 events (rows 17, 99 missing). "
        "Return Reject for rows you cannot score."
    }


def test_merged_rows_are_refused_although_each_half_looks_right() -> None:
    class Distinct(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[A]:
            return [A(y=x) for x in sorted({e.x for e in events})]

    batch = [b'{"x":1}', b'{"x":1}', b'{"x":2}', b'{"x":3}']
    scored = Scorer(Distinct()).score(batch)
    assert [(e.index, e.code) for e in scored.errors] == [(0, "wrong_count"), (1, "wrong_count")]
    assert answers(scored) == [2.0, 3.0]


@pytest.mark.parametrize("answer", [7, "text", None, {1, 2}])
def test_what_is_no_answer_is_refused_without_further_tries(answer: Any) -> None:
    calls = []

    class Wrong(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[A]:
            calls.append(1)
            return answer  # type: ignore[no-any-return]

    scored = Scorer(Wrong()).score(payloads(16))
    assert {e.code for e in scored.errors} == {"wrong_type"}
    assert len(scored.errors) == 16
    assert len(calls) == 1


class Framed(Model[Q, A]):
    """A frame model that does something to its answer first."""

    change: Any = staticmethod(lambda frame: frame)

    def predict(self, frame: pd.DataFrame) -> pd.DataFrame:
        return type(self).change(pd.DataFrame({"y": -frame.x}))  # type: ignore[no-any-return]


def framed(change: Any) -> Scorer:
    return Scorer(type("Framed", (Framed,), {"change": staticmethod(change)})())


def poisoned(frame: pd.DataFrame, change: Any) -> pd.DataFrame:
    return change(frame) if (frame.y == -3).any() else frame  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "change",
    [
        lambda f: f.sort_values("y"),
        lambda f: f.iloc[::-1],
        lambda f: f.iloc[::-1].reset_index(drop=True).set_index(f.index[::-1]),
        lambda f: f[f.y != -3],
        lambda f: pd.concat([f, f]),
        lambda f: f.merge(f.assign(y=f.y), on="y").set_index(pd.Index(range(1, len(f) + 1))),
        lambda f: f.set_index(pd.Index([str(i) for i in f.index])),
    ],
)
def test_no_answer_lands_on_another_event_whatever_is_done_to_the_index(change: Any) -> None:
    scored = framed(change).score(payloads(8))
    refused = {e.index for e in scored.errors}
    assert refused
    assert {e.code for e in scored.errors} == {"wrong_index"}
    assert answers(scored) == [-float(i) for i in range(8) if i not in refused]


@pytest.mark.parametrize(
    "change", [lambda f: f[f.y != -3], lambda f: pd.concat([f, f]), lambda f: f.set_index(f.index + 1)]
)
def test_one_poison_that_spoils_the_index_is_found_alone(change: Any) -> None:
    scored = framed(lambda f: poisoned(f, change)).score(payloads(8))
    assert [(e.index, e.code) for e in scored.errors] == [(3, "wrong_index")]
    assert answers(scored) == [-float(i) for i in range(8) if i != 3]


def test_wrong_columns_are_the_codes_fault_and_named() -> None:
    scored = framed(lambda f: f.rename(columns={"y": "z"})).score(payloads(2))
    assert "Framed.predict returned columns without y. A has: y." in scored.errors[0].reason


def test_rows_of_a_frame_are_rejected_by_mask_and_may_be_left_out_then() -> None:
    class Rejects(Model[Q, A]):
        leave_out = False

        def predict(self, frame: pd.DataFrame, *, ctx: Context) -> pd.DataFrame:
            odd = frame.x % 2 == 1
            ctx.reject(odd, "odd", code="odd")
            ctx.reject(0, "zero", code="zero")
            ctx.reject([0, 2], "late", code="late")
            answer = pd.DataFrame({"y": (-frame.x).where(~odd)})
            return answer.drop(index=[0, 1, 2, 3]) if self.leave_out else answer

    for leave_out in (False, True):
        model = Rejects()
        model.leave_out = leave_out
        scored = Scorer(model).score(payloads(5))
        assert [(e.index, e.code) for e in scored.errors] == [
            (0, "zero"),
            (1, "odd"),
            (2, "late"),
            (3, "odd"),
        ]
        assert answers(scored) == [-4.0]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ([True, False], "a mask of 2 for 3 rows"),
        (3, "3 is no row of 0 to 2"),
        ([-1], "-1 is no row"),
        (pd.Series([True, False, True], index=[0, 2, 1]), "another index"),
        (pd.array([True, None, False], dtype="boolean"), "no row"),
    ],
)
def test_a_mask_that_does_not_fit_the_frame_is_an_error(where: Any, said: str) -> None:
    ctx = Context(3)
    with pytest.raises(ValueError, match=said):
        ctx.reject(where, "no")
    assert ctx.rejected == {}


@pytest.mark.parametrize(
    "where",
    [
        [True, False, True],
        np.array([True, False, True]),
        pd.Series([True, False, True]),
        [0, 2],
        np.array([0, 2]),
    ],
)
def test_masks_and_indices_of_any_library_do(where: Any) -> None:
    ctx = Context(3)
    ctx.reject(where, "no")
    assert sorted(ctx.rejected) == [0, 2]


def test_a_frame_may_multiply_its_rows() -> None:
    class Multiplies(Model[Q, A]):
        def predict(self, frame: pd.DataFrame) -> Many[pd.DataFrame]:
            repeated = frame.loc[frame.index.repeat(frame.x.astype(int))]
            return pd.DataFrame({"y": -repeated.x})  # type: ignore[return-value]

    scored = Scorer(Multiplies()).score(payloads(4))
    assert scored.counts == [0, 1, 2, 3]
    assert answers(scored) == [-1.0, -2.0, -2.0, -3.0, -3.0, -3.0]


def test_multiplied_rows_out_of_order_are_refused() -> None:
    class Mixed(Model[Q, A]):
        def predict(self, frame: pd.DataFrame) -> Many[pd.DataFrame]:
            return pd.DataFrame({"y": -frame.x}).iloc[::-1]  # type: ignore[return-value]

    assert {e.code for e in Scorer(Mixed()).score(payloads(4)).errors} == {"wrong_index"}


class TestSurroundings:
    @pytest.mark.parametrize(
        ("error", "code"),
        [
            (Surroundings("bridge_gone", "the bridge is gone", 50), "bridge_gone"),
            (MemoryError(), "out_of_memory"),
            (ConnectionRefusedError("no database"), "unavailable"),
            (TimeoutError("slow"), "unavailable"),
            (OSError(errno.ENOSPC, "no space"), "unavailable"),
        ],
    )
    def test_their_errors_give_the_whole_batch_back(self, error: Exception, code: str) -> None:
        class Fails(Model[Q, A]):
            def predict(self, events: list[Q]) -> list[A]:
                raise error

        class FailsAlone(Model[Q, A]):
            def predict_one(self, event: Q) -> A:
                raise error

        for scorer in (Scorer(Fails()), Scorer(FailsAlone())):
            with pytest.raises(Surroundings) as caught:
                scorer.score(payloads(4))
            assert caught.value.code == code
            assert caught.value.retry_ms > 0

    def test_a_failure_on_the_way_to_the_culprit_is_theirs_as_well(self) -> None:
        class Later(Raises):
            def predict(self, events: list[Q]) -> list[A]:
                if self.calls > 2:
                    raise ConnectionResetError
                return super().predict(events)

        with pytest.raises(Surroundings):
            Scorer(Later(3)).score(payloads(8))

    def test_a_missing_file_is_the_events_own_affair(self) -> None:
        class Reads(Model[Q, A]):
            def predict(self, events: list[Q]) -> list[A]:
                for e in events:
                    if e.x == 1:
                        Path("/nowhere/at/all").read_text()
                return [A(y=e.x) for e in events]

        assert [e.index for e in Scorer(Reads()).score(payloads(3)).errors] == [1]


@settings(max_examples=150, deadline=None)
@given(
    fates=st.lists(
        st.sampled_from(["fine", "raise", "drop", "reject", "none", "nan", "twice", "junk"]),
        min_size=1,
        max_size=24,
    )
)
def test_every_event_has_exactly_the_fate_that_it_has_alone(fates: list[str]) -> None:
    class Mix(Model[Q, A]):
        def predict(self, events: list[Q]) -> list[Any]:
            found: list[Any] = []
            for e in events:
                fate = fates[int(e.x)]
                if fate == "raise":
                    raise RuntimeError(str(e.x))
                if fate != "drop":
                    found.append(
                        {
                            "fine": A(y=e.x),
                            "reject": Reject("no"),
                            "none": None,
                            "nan": A(y=float("nan")),
                            "twice": [A(y=e.x), A(y=e.x)],
                            "junk": b"?",
                        }[fate]
                    )
            return found

    scorer = Scorer(Mix())
    scored = scorer.score(payloads(len(fates)))
    expected = {
        "raise": "exception",
        "drop": "wrong_count",
        "reject": "rejected",
        "nan": "invalid_output",
        "junk": "wrong_type",
    }
    assert [(e.index, e.code) for e in scored.errors] == [
        (i, expected[fate]) for i, fate in enumerate(fates) if fate in expected
    ]
    outputs = [float(i) for i, fate in enumerate(fates) for _ in range({"fine": 1, "twice": 2}.get(fate, 0))]
    assert answers(scored) == outputs
