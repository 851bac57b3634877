"""The ledger sees each kind of mistake, and forgets no event of millions."""

from __future__ import annotations

import tracemalloc

import pytest

from pyrunner.audit import Tally, Verdict


def tally(*events: str) -> Tally:
    """These were published."""
    found = Tally()
    found.attempt(events)
    found.acknowledge(events)
    return found


def out(found: Tally, *events: str, right: bool = True) -> Verdict:
    for event in events:
        found.result(event, right)
    return found.verdict()


def test_what_is_acknowledged_and_did_not_come_out_is_lost() -> None:
    verdict = out(tally("a-0", "a-1", "b-0"), "a-0")
    assert list(verdict.lost) == ["a-1", "b-0"]


def test_what_was_only_attempted_may_come_out_or_not() -> None:
    found = Tally()
    found.attempt(["a-0", "a-1"])
    verdict = out(found, "a-1")
    assert (len(verdict.lost), len(verdict.unexpected), verdict.out) == (0, 0, 1)


@pytest.mark.parametrize("stranger", ["a-1", "b-0", "a-x", "", "a--1", "a-99999999"])
def test_what_nobody_published_is_unexpected(stranger: str) -> None:
    assert list(out(tally("a-0"), stranger).unexpected) == [stranger]


def test_each_further_result_and_dead_letter_of_an_event_is_a_duplicate() -> None:
    found = tally("a-0", "a-1", "a-2")
    found.letter("a-1")
    found.letter("a-1")
    verdict = out(found, "a-0", "a-0", "a-0", "a-2")
    assert (verdict.duplicates, list(verdict.repeated)) == (3, ["a-0", "a-1"])


def test_more_duplicates_of_one_event_than_a_byte_counts_stay_duplicates() -> None:
    assert out(tally("a-0"), *["a-0"] * 1000).duplicates == 254


def test_a_result_and_a_dead_letter_of_one_event_are_both() -> None:
    found = tally("a-0")
    found.letter("a-0")
    assert list(out(found, "a-0").both) == ["a-0"]


def test_a_wrong_answer_is_wrong_and_did_come_out() -> None:
    verdict = out(tally("a-0"), "a-0", right=False)
    assert (list(verdict.wrong), len(verdict.lost)) == (["a-0"], 0)


def test_an_event_behind_a_later_one_of_its_key_is_an_inversion_once() -> None:
    verdict = out(tally(*(f"a-{n}" for n in range(4)), "b-0"), "a-0", "a-2", "b-0", "a-1", "a-1", "a-3")
    assert verdict.inversions == 1


def test_results_that_come_again_from_a_position_on_are_no_inversions() -> None:
    assert out(tally("a-0", "a-1", "a-2"), "a-0", "a-1", "a-0", "a-1", "a-2").inversions == 0


def test_dead_letters_are_to_be_the_planned_poisons() -> None:
    found = Tally()
    found.attempt(["a-0", "a-1", "a-2"], {"a-0", "a-1"})
    found.acknowledge(["a-0", "a-1", "a-2"])
    found.letter("a-0")
    found.letter("a-2")
    verdict = out(found, "a-1")
    assert (list(verdict.innocents), list(verdict.spared)) == (["a-2"], ["a-1"])


def test_settled_are_acknowledged_events_whichever_is_heard_of_first() -> None:
    found = Tally()
    found.attempt(["a-0", "a-1", "a-2"])
    found.result("a-0", True)
    assert found.settled == 0
    found.acknowledge(["a-0", "a-1"])
    found.result("a-1", True)
    found.result("a-1", True)
    found.letter("a-1")
    assert found.settled == 2


def test_only_the_first_of_many_ids_are_kept_and_all_are_counted() -> None:
    found = tally(*(f"a-{n}" for n in range(5000)))
    lost = found.verdict().lost
    assert (len(lost), len(lost.first), lost.first[0]) == (5000, 1000, "a-0")


def test_an_event_takes_a_few_bytes() -> None:
    found = Tally()
    tracemalloc.start()
    try:
        for begin in range(0, 1_000, 500):
            events = [f"p{key}-{n}" for key in range(50) for n in range(begin, begin + 500)]
            found.attempt(events)
            found.acknowledge(events)
            for event in events:
                found.result(event, True)
        del events, event
        assert tracemalloc.get_traced_memory()[0] < 5 * 50_000
    finally:
        tracemalloc.stop()
    assert (found.settled, found.verdict().inversions) == (50_000, 0)
