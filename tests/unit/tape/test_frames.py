"""The bytes of tapes: whole, cut off, damaged, of another version."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyrunner.errors import UserError
from pyrunner.tape import frames
from pyrunner.tape.contents import read

from .tapes import batch, framed, tape, worker

EXAMPLE = Path(__file__).parents[2] / "vectors" / "tape" / "example.tape"


def taken(path: Path) -> tuple[list[frames.Frame], str]:
    """The frames of a file, and why it could not be read any further."""
    found: list[frames.Frame] = []
    try:
        for frame in frames.frames(path):
            found.append(frame)
    except frames.Torn as torn:
        return found, str(torn)
    return found, ""


def test_the_example_that_the_bridge_wrote_is_read() -> None:
    found, torn = taken(EXAMPLE)
    assert not torn
    assert [type(f).__name__ for f in found] == [
        "Recording",
        "Worker",
        "Batch",
        "Batch",
        "Gap",
        "Fates",
        "End",
    ]
    kept = read(EXAMPLE)
    assert (kept.recording.stream, kept.model, kept.dropped, kept.calls, kept.ended) == (
        "departures",
        "3",
        300,
        3,
        True,
    )
    assert {event: (fate.kind, fate.value) for event, fate in kept.fates.items()} == {
        "departures/0/16": ("outputs", [{"y": 1.5}]),
        "departures/0/17": ("rejected", {"code": "null_value", "reason": "null"}),
        "departures/3/5": ("dead", {"code": "invalid_event", "reason": "not JSON", "detail": {"at": 0}}),
    }


def test_a_tape_that_is_cut_off_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    whole = EXAMPLE.read_bytes()
    path = tmp_path / "cut.tape"
    complete, between = taken(EXAMPLE)[0], set()
    at = len(frames.NAME) + 1
    while at < len(whole):
        between.add(at)
        at += 8 + int.from_bytes(whole[at : at + 4], "big")
    for cut in range(len(frames.NAME) + 1, len(whole)):
        path.write_bytes(whole[:cut])
        found, torn = taken(path)
        assert found == complete[: len(found)]
        assert len(found) == sum(1 for end in between if end <= cut) - 1
        assert bool(torn) == (cut not in between), f"cut at {cut}: {torn}"


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    whole = EXAMPLE.read_bytes()
    path = tmp_path / "damaged.tape"
    complete = taken(EXAMPLE)[0]
    for at in range(len(frames.NAME) + 1, len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        found, torn = taken(path)
        assert torn
        assert found == complete[: len(found)]


def test_another_version_and_another_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    path.write_bytes(tape(version=9))
    assert frames.is_tape(path)
    with pytest.raises(
        UserError, match=r"tape of version 9, this ds-runner reads version 1\. Use the release"
    ):
        read(path)
    path.write_text('{"id": "a"}\n')
    assert not frames.is_tape(path)
    with pytest.raises(UserError, match="is no tape"):
        read(path)
    assert not frames.is_tape(tmp_path / "absent")


def test_a_tape_without_a_whole_first_frame_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    path.write_bytes(tape()[:20])
    with pytest.raises(UserError, match="torn at byte 8"):
        read(path)
    path.write_bytes(tape()[:8])
    with pytest.raises(UserError, match="nothing was recorded"):
        read(path)


def test_frames_of_types_that_are_not_known_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    path.write_bytes(tape(worker()) + framed([99, "later"]) + framed(batch(0, [b"1"])))
    assert list(read(path).fates) == ["departures/0/0"]
    path.write_bytes(tape(worker()) + framed([3, "not", "a", "batch"]) + framed(batch(0, [b"1"])))
    assert "torn" in read(path).torn


def test_a_batch_that_is_damaged_inside_ends_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "a.tape"
    broken = batch(1, [b"1"])
    broken.batch = broken.batch[:-1]
    path.write_bytes(tape(worker(), batch(0, [b"1"]), broken, batch(2, [b"1"])))
    kept = read(path)
    assert list(kept.fates) == ["departures/0/0"]
    assert "damaged" in kept.torn
