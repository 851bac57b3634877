"""pause, resume, seek and sample, over the real codec to a bridge that keeps what it is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunner.client import cursors
from pyrunner.client.records import Record
from pyrunner.commands.sample import line, spread
from pyrunner.commands.seek import parse
from pyrunner.errors import UserError
from pyrunner.testing import FakeBridge

from .conftest import Shell

NOW = 1_700_000_000 * 10**9


class Bridge:
    """A stream of three partitions, and a command that reads it."""

    def __init__(self) -> None:
        self.records: list[list[Any]] = [
            [n % 3, n // 3, n * 10**9, b"k%d" % n, b'{"n": %d}' % n, []] for n in range(60)
        ]
        self.paused = False
        self.moves = [[0, 20, 4, 20], [1, 20, 20, 20], [2, -1, 3, 20]]
        self.asked: list[tuple[str, list[Any]]] = []

    def answer(self, call: Any, args: list[Any]) -> Any:
        self.asked.append((call.method, args))
        return getattr(self, call.method)(*args)

    def pause(self, name: str) -> list[Any]:
        was, self.paused = self.paused, True
        return [["score-stream", "departures", was]]

    def resume(self, name: str) -> list[Any]:
        was, self.paused = self.paused, False
        return [["score-stream", "departures", was]]

    def seek(self, stream: str, command: str, target: list[Any], dry: bool) -> list[Any]:
        return ["score-stream", self.paused, self.moves]

    def tail(self, stream: str, cursor: str, most: int, wait_ms: int) -> list[Any]:
        if cursor == cursors.END:
            return [[], "0:20,1:20,2:20"]
        if wait_ms:
            self.records += [[0, 20 + n, 0, None, b'{"n": %d}' % (60 + n), []] for n in range(3)]
        following = cursors.offsets(cursor)
        found = [r for r in self.records if r[1] >= following.get(r[0], 0)][:most]
        return [found, cursors.of({**following, **{r[0]: r[1] + 1 for r in found}})]


@pytest.fixture
def bridge(shell: Shell) -> Iterator[Bridge]:
    """A fake bridge that the project's folder leads to."""
    kept = Bridge()
    with FakeBridge(answer_call=kept.answer) as fake:
        state = shell.folder / ".ds-runner"
        state.mkdir()
        found = {"pid": os.getpid(), "wire": fake.address, "token_file": str(fake.token_file), "version": "1"}
        (state / "bridge.json").write_text(json.dumps(found))
        yield kept


def test_pause_and_resume_say_what_they_changed(shell: Shell, bridge: Bridge) -> None:
    said = shell("pause", "departures")
    assert (said.code, said.out) == (0, "score-stream of departures: paused\n")
    assert said.err == "Go on with: ds-runner resume departures\n"
    assert shell("pause", "score-stream").out == "score-stream of departures: was paused already\n"
    assert json.loads(shell("resume", "departures", "--json").out) == [
        {"command": "score-stream", "stream": "departures", "was_paused": True}
    ]
    assert shell("resume", "departures").out == "score-stream of departures: was not paused\n"


def test_a_seek_tells_each_partition_and_how_many_events_come_again(shell: Shell, bridge: Bridge) -> None:
    said = shell("seek", "departures", "--to", "3")
    assert (said.code, said.err) == (0, "")
    assert said.out == (
        "score-stream reads departures on from here:\n"
        "  partition 0: 20 -> 4 of 20, 16 events again\n"
        "  partition 1: stays at 20 of 20\n"
        "  partition 2: begins at 3 of 20\n"
        "  in all 16 events again\n"
    )
    assert bridge.asked == [("seek", ["departures", "", ["offset", 3, -1], False])]


def test_a_dry_run_is_said_to_be_one(shell: Shell, bridge: Bridge) -> None:
    bridge.moves, bridge.paused = [[0, 4, 20, 20]], True
    said = shell("seek", "departures", "--to", "end", "--dry-run", "--command", "score-stream")
    assert said.out == (
        "score-stream would read departures on from here:\n"
        "  partition 0: 4 -> 20 of 20, 16 events skipped\n"
        "a dry run: nothing was changed\n"
    )
    assert "score-stream is paused, as it was before. Go on with: ds-runner resume score-stream" in said.err
    assert bridge.asked[0][1] == ["departures", "score-stream", ["newest"], True]
    assert json.loads(shell("seek", "departures", "--to", "-1h", "--dry-run", "--json").out) == {
        "command": "score-stream",
        "paused": True,
        "dry_run": True,
        "moves": [{"partition": 0, "before": 4, "after": 20, "end": 20}],
    }


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("start", ["oldest"]),
        ("end", ["newest"]),
        ("1000", ["offset", 1000, -1]),
        ("3:1000", ["offset", 1000, 3]),
        ("-1h", ["time", NOW - 3600 * 10**9]),
        ("-1d2h3m4s", ["time", NOW - 93784 * 10**9]),
        ("2023-11-14T22:13:19Z", ["time", NOW - 10**9]),
        ("2023-11-14T23:13:19.5+01:00", ["time", NOW - 10**9 // 2]),
    ],
)
def test_a_place_is_written_as_an_end_an_offset_or_a_time(text: str, target: list[Any]) -> None:
    assert parse(text, NOW) == target


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "write start, end, a time like 2026-11-20T10:00:00Z or -1h30m, an offset like 1000"),
        ("-", "write start, end"),
        ("-1y", "write start, end"),
        ("1:2:3", "write start, end"),
        ("2023-11-14", "of which time zone? Write 2023-11-14T00:00:00Z for UTC"),
        ("2023-11-14T22:13:21Z", "that is in the future. To skip all that is there: --to end"),
    ],
)
def test_a_place_that_is_none_is_refused_with_what_to_write(text: str, reason: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(text, NOW)
    assert str(refused.value).startswith(f"seek: --to {text}: ")
    assert reason in str(refused.value)


def test_wrong_places_and_names_never_reach_the_bridge(shell: Shell, bridge: Bridge) -> None:
    assert shell("seek", "departures", "--to", "soon").code == 2
    said = shell("seek", "departure", "--to", "start")
    assert (said.code, "Did you mean departures?" in said.err) == (2, True)
    assert (
        shell("sample", "departures", "--from", "here").err
        == "sample: --from here: write start, now or all\n"
    )
    assert bridge.asked == []


@pytest.mark.parametrize(
    "verb",
    [
        ["pause", "departures"],
        ["resume", "departures"],
        ["seek", "departures", "--to", "end"],
        ["sample", "departures"],
    ],
)
def test_without_a_bridge_each_says_how_to_start_one(shell: Shell, verb: list[str]) -> None:
    said = shell(*verb)
    assert (said.code, said.err) == (3, "no bridge is running for this project. Run: ds-runner up\n")


def test_a_sample_is_the_newest_the_oldest_or_some_of_all(shell: Shell, bridge: Bridge) -> None:
    def numbers(*options: str) -> list[int]:
        said = shell("sample", "departures", *options)
        return [json.loads(one)["n"] for one in said.out.splitlines()]

    assert numbers("-n", "3") == [57, 58, 59]
    assert numbers("-n", "3", "--from", "start") == [0, 1, 2]
    assert numbers("-n", "3", "--from", "now") == [60, 61, 62]
    some = numbers("-n", "6", "--from", "all")
    assert len(set(some)) == 6
    assert some == numbers("-n", "6", "--from", "all"), "the same stream gives the same sample"
    whole = json.loads(shell("sample", "departures", "-n", "1", "--json").out)
    assert (whole["id"], whole["key"], whole["value"]) == ("departures/2/19", "k59", {"n": 59})


def test_a_stream_with_less_than_was_asked_for_gives_what_it_has(shell: Shell, bridge: Bridge) -> None:
    said = shell("sample", "departures", "-n", "100")
    assert len(said.out.splitlines()) == 60
    assert said.err == "departures holds 60 events, 100 were asked for\n"


def test_a_sample_of_a_stream_is_a_file_for_replay(trained: Shell) -> None:
    row = '{"flight_id":"1","carrier":"UA","origin":"EWR","distance":1400,"dep_delay":3}'
    kept = Bridge()
    kept.records = [[0, n, 0, None, row.encode().replace(b",", b",\n"), []] for n in range(20)]
    with FakeBridge(answer_call=kept.answer) as fake:
        token = ["--bridge", fake.address, "--token-file", str(fake.token_file)]
        lines = trained("sample", "departures", "-n", "5", *token).out
    Path("sample.jsonl").write_text(lines)
    said = trained("predict", "@sample.jsonl")
    assert (said.code, len(lines.splitlines())) == (0, 5), said.err


def test_a_sample_comes_from_all_parts_of_a_stream_in_its_order() -> None:
    taken = [r.offset for r in spread((_record(n) for n in range(10_000)), 1000)]
    assert taken == sorted(set(taken))
    tenths = [sum(offset // 1000 == tenth for offset in taken) for tenth in range(10)]
    assert all(60 < n < 140 for n in tenths), tenths  # of a thousand picked evenly, four deviations from 100


def test_a_value_of_several_lines_is_one_line_of_a_sample() -> None:
    assert line(b'{"a": 1}') == '{"a": 1}'
    assert line(b'{"a":\n [1, 2]}') == '{"a":[1,2]}'
    assert line(b'{"a":\n') == '{"a":\\n'
    assert line(None) == "null"


def _record(offset: int) -> Record:
    return Record("s", 0, offset, 0, None, b"", {})
