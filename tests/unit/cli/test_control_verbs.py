"""publish, tail and dead, over the real codec to a bridge that keeps streams in lists."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunner.client import cursors
from pyrunner.testing import FakeBridge

from .conftest import ROW, Shell

Record = list[Any]  # [partition, offset, timestamp, key, value, headers]


class Streams:
    """What the control methods work on, as METHODS.md says it."""

    def __init__(self) -> None:
        self.kept: dict[str, list[Record]] = {"departures": [], "estimates": [], "departures.dead": []}
        self.calls: list[int] = []  # records of each publish

    def answer(self, call: Any, args: list[Any]) -> Any:
        return getattr(self, call.method.replace(".", "_"))(*args)

    def put(
        self,
        stream: str,
        value: bytes,
        key: bytes | None = None,
        headers: list[Any] | None = None,
        *,
        partition: int = 0,
        time: int = 1_700_000_000_000_000_000,
    ) -> None:
        offset = max((r[1] for r in self.kept[stream] if r[0] == partition), default=0) + 1
        self.kept[stream].append([partition, offset, time, key, value, headers or []])

    def publish(self, stream: str, records: list[list[Any]]) -> int:
        for value, key in records:
            self.put(stream, bytes(value), None if key is None else bytes(key))
        self.calls.append(len(records))
        return len(records)

    def tail(self, stream: str, cursor: str, most: int, wait_ms: int) -> list[Any]:
        ends = {0: 1}
        for partition, offset, *_ in self.kept[stream]:
            ends[partition] = max(ends.get(partition, 1), offset + 1)
        if cursor == cursors.END:
            return [[], cursors.of(ends)]
        following = cursors.offsets(cursor)
        found = [r for r in self.kept[stream] if r[1] >= following.get(r[0], 0)][:most]
        return [found, cursors.of({**following, **{r[0]: r[1] + 1 for r in found}})]

    def dead_list(self) -> list[Any]:
        letters = self.kept["departures.dead"]
        codes = ["invalid_event", len(letters)] if letters else []
        times = [letters[0][2], letters[-1][2]] if letters else [0, 0]
        return [["departures.dead", "departures", len(letters), *times, codes]]

    def dead_show(self, stream: str, number: int) -> Record:
        letters = self.kept["departures.dead"]
        if number > len(letters):
            raise ValueError(f"{stream} holds {len(letters)} dead letters, there is no number {number}")
        return letters[number - 1]

    def dead_replay(self, stream: str, chosen: list[list[int]]) -> list[Any]:
        gone = self._take(chosen)
        for r in gone:
            self.put("departures", r[4], r[3])
        return [[r[:2] for r in gone], False, [[*place, "no payload"] for place in chosen if place[1] == 3]]

    def dead_drop(self, stream: str, chosen: list[list[int]]) -> int:
        self._take(chosen)
        return len(chosen)

    def _take(self, chosen: list[list[int]]) -> list[Record]:
        letters = self.kept["departures.dead"]
        self.kept["departures.dead"] = [r for r in letters if r[:2] not in chosen]
        return [r for r in letters if r[:2] in chosen]


@pytest.fixture
def streams(shell: Shell) -> Iterator[Streams]:
    """A fake bridge that the project's folder leads to."""
    kept = Streams()
    with FakeBridge(answer_call=kept.answer) as fake:
        state = shell.folder / ".ds-runner"
        state.mkdir()
        found = {"pid": os.getpid(), "wire": fake.address, "token_file": str(fake.token_file), "version": "1"}
        (state / "bridge.json").write_text(json.dumps(found))
        yield kept


@pytest.fixture
def letters(streams: Streams) -> Streams:
    for n in (1, 2, 3):
        headers = [
            *("ds-source", f"departures/0/{n}".encode(), "ds-error-code", b"invalid_event", "ds-model", b"1"),
            *(
                "ds-error-reason",
                b"carrier: got 3",
                "ds-error-detail",
                b'[{"field": "carrier"}]',
                "ds-attempts",
                b"2",
            ),
        ]
        streams.put("departures.dead", b'{"n": %d}' % n, b"k", headers)
    return streams


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_publish_sends_each_event_with_the_key_that_the_class_marks(
    shell: Shell, streams: Streams, ending: str
) -> None:
    said = shell("publish", "departures", str(_events(shell, ending)))
    assert (said.code, said.out.partition(" in ")[0]) == (0, "published 2 events to departures")
    assert [r[3] for r in streams.kept["departures"]] == [b"1", b"2"]
    assert [json.loads(r[4])["distance"] for r in streams.kept["departures"]] == [1400, 700]


def test_publish_reads_standard_input_and_takes_what_is_no_json(shell: Shell, streams: Streams) -> None:
    shell("publish", "departures", "-", stdin=ROW + "\n\nbroken\n")
    assert [(r[3], r[4]) for r in streams.kept["departures"]] == [(b"1", ROW.encode()), (None, b"broken")]


def test_another_field_can_be_the_key(shell: Shell, streams: Streams) -> None:
    shell("publish", "departures", "-", "--key", "distance", stdin=ROW)
    assert streams.kept["departures"][0][3] == b"1400"


def test_publish_keeps_a_rate(shell: Shell, streams: Streams) -> None:
    began = time.monotonic()
    shell("publish", "departures", "-", "--rate", "200", stdin=(ROW + "\n") * 60)
    assert time.monotonic() - began > 0.2
    assert max(streams.calls) == 10  # a twentieth of a second's worth


def test_large_events_are_sent_in_calls_of_bounded_size(shell: Shell, streams: Streams) -> None:
    line = json.dumps({"flight_id": "x" * 400_000})
    shell("publish", "departures", "-", stdin=f"{line}\n" * 5)
    assert streams.calls == [2, 2, 1]


def test_tail_prints_the_newest_and_from_anywhere(shell: Shell, streams: Streams) -> None:
    for n in range(1, 31):
        streams.put("estimates", b'{"n": %d}' % n)

    def numbers(*options: str) -> list[int]:
        return [json.loads(line)["n"] for line in shell("tail", "estimates", *options).out.splitlines()]

    assert numbers() == list(range(21, 31))
    assert numbers("-n", "2") == [29, 30]
    assert numbers("--from", "start") == list(range(1, 31))
    assert numbers("--from", "start", "-n", "3") == [1, 2, 3]
    assert numbers("--from", "28") == [28, 29, 30]
    assert numbers("--from", "now") == []
    whole = json.loads(shell("tail", "estimates", "-n", "1", "--json").out)
    assert (whole["id"], whole["time"], whole["value"]) == (
        "estimates/0/30",
        "2023-11-14T22:13:20.000+00:00",
        {"n": 30},
    )
    assert numbers("--from", "0:28") == [28, 29, 30]
    said = shell("tail", "estimates", "--from", "yesterday")
    assert (said.code, said.err) == (
        2,
        "tail: --from yesterday: write start, now, an offset like 1000, or one for each partition like 0:1000,1:980\n",
    )


def test_tail_takes_the_newest_of_all_partitions_by_their_times(shell: Shell, streams: Streams) -> None:
    for n in range(1, 31):
        streams.put("estimates", b"%d" % n, partition=n % 3, time=n * 10**9)
    assert shell("tail", "estimates", "-n", "5").out.split() == ["26", "27", "28", "29", "30"]
    assert shell("tail", "estimates", "-n", "0").out == ""
    assert len(shell("tail", "estimates", "-n", "100").out.split()) == 30
    assert len(shell("tail", "estimates", "--from", "9").out.split()) == 6  # the last two of each partition


def test_tail_looks_further_back_where_offsets_have_gaps(shell: Shell, streams: Streams) -> None:
    for n in range(1, 31):
        streams.put("estimates", b"%d" % n)
        streams.kept["estimates"][-1][1] = n * 1000
    assert shell("tail", "estimates", "-n", "3").out.split() == ["28", "29", "30"]


def test_an_event_of_any_partition_is_found_by_its_id(shell: Shell, streams: Streams) -> None:
    for n in range(1, 9):
        streams.put("departures", b"%d" % n, partition=n % 2)
    from pyrunner.client.control import ControlClient
    from pyrunner.client.records import one

    state = json.loads((shell.folder / ".ds-runner" / "bridge.json").read_text())
    with ControlClient(state["wire"], Path(state["token_file"])) as client:
        found = one(client, "departures", 1, 2)
        assert found is not None
        assert (found.id, found.value) == ("departures/1/2", b"3")
        assert one(client, "departures", 1, 5) is None
        assert one(client, "departures", 7, 1) is None


def test_an_unknown_stream_is_told_before_anything_is_asked(shell: Shell) -> None:
    said = shell("tail", "estimate")
    assert (said.code, "Did you mean estimates?" in said.err) == (2, True)


def test_dead_letters_are_listed_and_shown(shell: Shell, letters: Streams) -> None:
    assert shell("dead", "list").out.startswith(
        "departures.dead  3 events of departures: invalid_event 3, 2023-11-14"
    )
    assert shell("dead", "list", "departures").out.splitlines()[1] == (
        "   2  departures/0/2  invalid_event: carrier: got 3"
    )
    assert shell("dead", "show", "departures.dead", "2").out == (
        "departures/0/2  invalid_event: carrier: got 3\n"
        "  attempts 2, model 1, key k\n"
        '  {"n": 2}\n'
        '  {"field": "carrier"}\n'
        "See it again: ds-runner dead show departures.dead 2 --payload | ds-runner predict -\n"
    )
    assert shell("dead", "show", "departures.dead", "2", "--payload").out == '{"n": 2}\n'
    headers = json.loads(shell("dead", "show", "departures.dead", "2", "--json").out)["headers"]
    assert (headers["ds-model"], headers["ds-error-detail"]) == ("1", [{"field": "carrier"}])


def test_a_letter_that_is_not_there_is_the_users_mistake(shell: Shell, letters: Streams) -> None:
    said = shell("dead", "show", "departures.dead", "9")
    assert (said.code, said.err) == (2, "departures.dead holds 3 dead letters, there is no number 9\n")


def test_letters_are_replayed_and_dropped_by_their_numbers(shell: Shell, letters: Streams) -> None:
    assert (
        shell("dead", "replay", "departures.dead", "1", "2").out == "replayed 2 events of departures.dead\n"
    )
    assert [r[4] for r in letters.kept["departures"]] == [b'{"n": 1}', b'{"n": 2}']
    assert shell("dead", "drop", "departures.dead", "--all").out == "dropped 1 event of departures.dead\n"
    assert letters.kept["departures.dead"] == []
    assert shell("dead", "drop", "departures.dead", "--all").out == "dropped 0 events of departures.dead\n"


def test_a_letter_that_was_skipped_is_exit_code_1(shell: Shell, letters: Streams) -> None:
    said = shell("dead", "replay", "departures.dead", "3")
    assert (said.code, said.err) == (1, "skipped departures.dead/0/3: no payload\n")


def test_which_letters_must_be_said(shell: Shell, letters: Streams) -> None:
    for verb in ("replay", "drop"):
        for options in ([], ["1", "--all"]):
            said = shell("dead", verb, "departures.dead", *options)
            assert (said.code, f"dead {verb}: which ones?" in said.err) == (2, True)


def test_one_event_is_replayed_from_its_stream(trained: Shell, streams: Streams) -> None:
    streams.put("departures", ROW.encode())
    said = trained("replay", "--only", "departures/0/1")
    assert said.code == 0
    assert json.loads(said.out)["event"] == "departures/0/1"
    assert json.loads(said.out)["answer"].keys() == {"arr_delay", "late"}
    assert "is not kept any more" in trained("replay", "--only", "departures/0/2").err


def _events(shell: Shell, ending: str) -> Any:
    import gzip

    import pyarrow as pa
    from pyarrow import csv, parquet

    rows = [json.loads(ROW), {**json.loads(ROW), "flight_id": "2", "distance": 700}]
    path = shell.folder / f"events.{ending}"
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if ending == "parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "csv":
        csv.write_csv(pa.Table.from_pylist(rows), path)
    else:
        path.write_bytes(gzip.compress(lines) if ending.endswith("gz") else lines)
    return path
