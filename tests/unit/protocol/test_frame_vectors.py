"""The shared frames: every valid one is understood and, where canonical, written; every invalid one refused by name."""

from __future__ import annotations

import pytest

from pyrunner.protocol import DecodeError, FrameBuffer, decode, encode, frames
from tests.unit.protocol.vectors_of_the_wire import body, comparable, load, to_frame

VALID = load("frames/valid.json") + load("frames/valid-1.1.json")
INVALID = load("frames/invalid.json") + load("frames/invalid-1.1.json")
LIMIT = 16 * 1024 * 1024


def names(vectors: list[dict]) -> list[str]:
    return [v["name"] for v in vectors]


@pytest.mark.parametrize("vector", VALID, ids=names(VALID))
def test_a_valid_frame_means_what_is_written(vector):
    frame = decode(body(vector), vector.get("minor", 0))
    if "skipped" in vector:
        assert frame is None
    elif "frame" in vector:
        assert comparable(frame) == comparable(to_frame(vector["frame"]))
    else:
        assert comparable(frame)[0] == vector["type"]


@pytest.mark.parametrize("vector", [v for v in VALID if v["canonical"]], ids=lambda v: v["name"])
def test_a_frame_is_written_in_these_very_bytes(vector):
    assert encode(to_frame(vector["frame"]), LIMIT)[4:] == body(vector)


@pytest.mark.parametrize("vector", INVALID, ids=names(INVALID))
def test_T25_T26_T27_an_invalid_frame_is_refused_by_name(vector):
    with pytest.raises(DecodeError) as refused:
        decode(body(vector), vector.get("minor", 0))
    assert refused.value.code in vector["codes"]
    assert (vector["at"] or "") in refused.value.reason


@pytest.mark.parametrize("vector", load("frames/lengths.json"), ids=lambda v: v["name"])
def test_T22_a_length_is_refused_before_anything_is_taken(vector):
    buffer = FrameBuffer(vector["limit"])
    buffer.feed(bytes.fromhex(vector["header"]))
    with pytest.raises(DecodeError) as refused:
        list(buffer)
    assert refused.value.code == vector["code"]


@pytest.mark.parametrize("vector", [v for v in VALID if "hex" in v], ids=lambda v: v["name"])
def test_frames_come_out_whole_when_bytes_come_one_by_one(vector):
    whole = body(vector)
    stream = len(whole).to_bytes(4, "big") + whole
    buffer = FrameBuffer()
    seen = []
    for at in range(len(stream)):
        buffer.feed(stream[at : at + 1])
        seen += list(buffer)
        assert bool(seen) == (at == len(stream) - 1)
    assert seen == [whole]


def test_every_field_of_the_table_is_a_struct_field():
    assert {kind.__struct_config__.tag for kind in frames.AnyFrame.__args__} == set(range(1, 16))
