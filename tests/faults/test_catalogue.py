"""Each number of the catalogue has a test, and the report tells what tests came to."""

from __future__ import annotations

import json

from .catalogue import CATALOGUE, numbers
from .report import Shown, missing, names_in_the_source, read_go, write


def test_each_fault_of_the_catalogue_has_a_test() -> None:
    shown = {number for name in names_in_the_source() for number in numbers(name)}
    assert [number for number in CATALOGUE if number not in shown] == []


def test_no_test_has_a_number_that_the_catalogue_does_not_know() -> None:
    found = {name: numbers(name) for name in names_in_the_source()}
    assert [name for name, some in found.items() if not some or not set(some) <= CATALOGUE.keys()] == []


def test_numbers_are_read_from_the_names_of_both_languages() -> None:
    assert numbers("test_T1_T2_T3_kills_keep_the_promise[exactly-once]") == ["T1", "T2", "T3"]
    assert numbers("test_T0a_a_loss_is_seen") == ["T0a"]
    assert numbers("TestT25T26HostileFramesCostNothing") == ["T25", "T26"]
    assert numbers("TestTakeover") == numbers("test_tables") == numbers("TestT4xlarge") == []


def test_a_number_without_a_test_is_missing_and_the_report_says_so() -> None:
    tests = [Shown("t", "p", "passed", 1.0, numbers=[number]) for number in CATALOGUE if number != "T41"]
    assert missing(tests) == ["T41"]
    assert "| **no test** |" in write(tests, {}, 0.0)
    assert "**no test**" not in write([*tests, Shown("u", "p", "passed", 1.0, numbers=["T41"])], {}, 0.0)


def test_a_test_that_failed_or_was_skipped_shows_nothing() -> None:
    tests = [Shown("t", "p", outcome, 1.0, numbers=["T1"]) for outcome in ("passed", "failed", "skipped")]
    assert "| **2 of 3 fail** |" in write(tests, {}, 0.0)


def test_rows_of_the_ledger_stand_in_the_report() -> None:
    row = {"seed": 7, "kills": 50, "acked": 100_000, "LOST": 0}
    text = write([Shown("test_T1_x", "p", "passed", 1.0, [row], ["T1"])], {}, 0.0)
    assert "| `test_T1_x` | 7 | 50 | 100000 |  |  | 0 |  |  |  |  |  |" in text


def test_results_of_go_are_read_from_its_events() -> None:
    def said(action: str, test: str, **more: object) -> str:
        return json.dumps({"Action": action, "Package": "x.dev/y/bridge_go/wire", "Test": test, **more})

    lines = [
        "go: downloading something",
        said("run", "TestT22Lengths"),
        said("output", "TestT22Lengths", Output='    a_test.go:9: ledger: {"kills": 3}\n'),
        said("pass", "TestT22Lengths/whole", Elapsed=0.1),
        said("pass", "TestT22Lengths", Elapsed=0.5),
        said("fail", "TestT3Servers", Elapsed=1.0),
        said("pass", "TestOther", Elapsed=1.0),
        json.dumps({"Action": "fail", "Package": "x.dev/y/bridge_go/wire", "Elapsed": 2.0}),
    ]
    lengths, servers, package = read_go(lines)
    assert (lengths.name, lengths.place, lengths.outcome) == ("TestT22Lengths", "bridge_go/wire", "passed")
    assert (lengths.seconds, lengths.rows) == (0.5, [{"kills": 3}])
    assert servers.outcome == package.outcome == "failed"
