"""What is on a tape: the answers that count, and who gave them."""

from __future__ import annotations

from pathlib import Path

from pyrunner.protocol import Kind, RowFailure
from pyrunner.tape.contents import read
from pyrunner.tape.frames import End, FateRun, Fates, Gap

from .tapes import batch, worker, write


def test_the_last_answer_that_says_something_final_counts(tmp_path: Path) -> None:
    later = RowFailure(1, Kind.RETRY, "later", "not yet", None, 10)
    bad = RowFailure(0, Kind.FAIL, "exception", "no", None, 0)
    kept = read(
        write(
            tmp_path / "a.tape",
            worker(),
            batch(0, [b'{"y":1}'], errors=[later]),
            batch(1, [], errors=[bad]),
            batch(1, [b'{"y":2}']),
        )
    )
    assert {e: f.value for e, f in kept.fates.items()} == {
        "departures/0/0": [{"y": 1}],
        "departures/0/1": [{"y": 2}],
    }


def test_each_answer_names_the_model_and_the_code_that_gave_it(tmp_path: Path) -> None:
    kept = read(
        write(
            tmp_path / "a.tape",
            worker(1, "3", code="aaaa"),
            batch(0, [b"1"]),
            worker(2, "4", code="bbbb"),
            batch(1, [b"1"], by=2),
        )
    )
    assert [(f.model, f.code) for f in kept.fates.values()] == [("3", "aaaa"), ("4", "bbbb")]
    assert (kept.model, kept.environment.code) == ("3", "aaaa")


def test_an_event_that_killed_its_workers_has_the_fate_of_that(tmp_path: Path) -> None:
    lost = batch(5, [b"1"], answered=False)
    dead = Fates([FateRun(0, 5, 1, 2, 4, "3", "worker_died", "exit code 139")])
    kept = read(write(tmp_path / "a.tape", worker(), lost, lost, dead))
    assert kept.fates["departures/0/5"].kind == "dead"
    assert kept.fates["departures/0/5"].value["code"] == "worker_died"
    several = batch(5, [b"1", b"1"], answered=False)
    assert not read(write(tmp_path / "a.tape", worker(), several)).fates, "nobody knows which of them it was"


def test_gaps_and_the_end_are_known(tmp_path: Path) -> None:
    kept = read(write(tmp_path / "a.tape", worker(), Gap(2, 512), batch(0, [b"1"]), Gap(1, 256)))
    assert (kept.dropped, kept.ended) == (768, False)
    assert read(write(tmp_path / "a.tape", End(1))).ended


def test_an_output_that_is_no_json_is_a_text(tmp_path: Path) -> None:
    kept = read(write(tmp_path / "a.tape", worker(), batch(0, [b"hello", b'"x"'])))
    assert [f.value for f in kept.fates.values()] == [["hello"], ["x"]]
