"""The plain client's codec is the reference: the fast one writes the same bytes and gives the same verdicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyrunner.plain
from pyrunner import plain
from pyrunner.protocol import DecodeError, codec, decode, encode, frames
from tests.unit.protocol.vectors_of_the_wire import body, load

LIMIT = 16 * 1024 * 1024
VALID, INVALID = load("frames/valid.json"), load("frames/invalid.json")
BODIES = [body(v) for v in VALID + INVALID if len(body(v)) < 5000]


@pytest.mark.parametrize("vector", VALID, ids=lambda v: v["name"])
def test_a_valid_frame_is_understood(vector):
    frame = plain.decode(body(vector), vector.get("minor", 0))
    assert (frame is None) == ("skipped" in vector)


@pytest.mark.parametrize("vector", INVALID, ids=lambda v: v["name"])
def test_T25_T26_T27_an_invalid_frame_is_refused(vector):
    with pytest.raises(plain.ProtocolError) as refused:
        plain.decode(body(vector), vector.get("minor", 0))
    assert refused.value.args[0] in vector["codes"]


def test_it_stays_a_page_to_copy():
    lines = Path(pyrunner.plain.__file__).read_text().splitlines()
    assert len(lines) < 250
    imports = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import ", "from "))}
    assert imports <= {"hmac", "os", "socket", "collections", "typing", "msgpack"}


# ---- frames of every type, any value that the table allows

uint = st.integers(0, 2**63 - 1)
name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)
real_name = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
code = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=16)
reason = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)
lease = (uint, uint, uint)
any_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | reason
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=20,
)


@st.composite
def batches(draw: Any) -> frames.Batch:
    payloads = draw(st.lists(st.none() | st.binary(max_size=300), min_size=1, max_size=40))
    count = len(payloads)
    runs, left = [], count
    while left:
        run = draw(st.integers(1, left))
        runs += [draw(st.integers(0, 2**31 - 1)), draw(st.integers(0, 2**60)), run]
        left -= run
    each = {"min_size": count, "max_size": count}
    pairs = st.lists(st.tuples(reason, st.binary(max_size=20)), max_size=70).map(
        lambda ps: [part for p in ps for part in p]
    )
    return frames.Batch(
        *[draw(u) for u in lease],
        draw(st.integers(1, 2**63 - 1)),
        draw(uint),
        draw(real_name),
        runs,
        payloads,
        draw(st.none() | st.lists(st.none() | st.binary(max_size=20), **each)),
        draw(st.none() | st.lists(st.none() | pairs, **each)),
        draw(st.none() | st.lists(st.integers(-(2**63), 2**63 - 1), **each)),
    )


@st.composite
def results(draw: Any) -> frames.Result:
    count, first = draw(st.integers(1, 30)), draw(st.integers(0, 1000))
    failed = sorted(draw(st.sets(st.integers(first, first + count - 1), max_size=5)))
    counts = draw(st.none() | st.lists(st.integers(0, 3), min_size=count, max_size=count))
    if counts is not None:
        counts = [0 if first + i in failed else n for i, n in enumerate(counts)]
    number = count - len(failed) if counts is None else sum(counts)
    outputs: Any = draw(st.lists(st.binary(max_size=30), min_size=number, max_size=number))
    if draw(st.booleans()):
        outputs = b"".join(o.replace(b"\n", b"") + b"\n" for o in outputs)
    ways = sorted(draw(st.sets(st.integers(0, max(0, number - 1)), max_size=3))) if number else []
    routes = [part for way in ways for part in (way, draw(real_name))]
    errors = [
        frames.RowFailure(
            i,
            draw(st.integers(1, 3)),
            draw(code),
            draw(reason),
            draw(st.none() | st.binary(max_size=30)),
            draw(uint),
        )
        for i in failed
    ]
    return frames.Result(*[draw(u) for u in lease], first, count, outputs, counts, routes or None, errors)


raw = any_value.map(codec.encode_value)
any_frame = st.one_of(
    st.builds(
        frames.Hello,
        name,
        name,
        name,
        uint,
        uint,
        name,
        name,
        uint,
        st.integers(65536, 2**63 - 1),
        st.binary(max_size=99),
    ),
    st.builds(frames.Welcome, uint, name, st.integers(65536, 2**63 - 1), uint, uint),
    st.builds(frames.Ready, uint, uint),
    batches(),
    results(),
    st.builds(frames.Return, *lease, code, reason, uint),
    st.builds(frames.Drain, reason),
    st.builds(frames.Bye, st.integers(0, 255), reason),
    st.builds(
        frames.Call,
        uint,
        st.none() | st.tuples(*lease),
        uint,
        real_name,
        st.lists(any_value, max_size=5).map(codec.encode_value),
    ),
    st.builds(frames.Answer, uint, st.just(True), raw),
    st.builds(
        frames.Answer, uint, st.just(False), st.tuples(code, reason, st.booleans()).map(codec.encode_value)
    ),
    st.builds(frames.Pulse, uint),
    st.builds(frames.Died, name, code, reason),
    st.builds(frames.Cut, name, reason),
)


def as_list(frame: frames.Frame) -> list[Any]:
    """A frame of the fast codec as the plain one has it."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(frame))


@settings(max_examples=400, deadline=None)
@given(any_frame)
def test_both_write_the_same_bytes_and_read_them_back(frame):
    data = bytes(encode(frame, LIMIT))
    assert plain.encode(as_list(frame)) == data
    assert plain.decode(data[4:]) == as_list(frame)
    assert as_list(decode(data[4:])) == as_list(frame)


def verdict(data: bytes) -> Any:
    try:
        frame = decode(data)
        return None if frame is None else as_list(frame)
    except DecodeError:
        return "refused"


def plain_verdict(data: bytes) -> Any:
    try:
        return plain.decode(data)
    except plain.ProtocolError:
        return "refused"


def same(one: Any, other: Any) -> bool:
    return one == other or json.dumps(one, default=repr) == json.dumps(other, default=repr)  # NaN


@settings(max_examples=1500, deadline=None)
@given(st.binary(max_size=200))
def test_T24_both_give_random_bytes_the_same_verdict_and_raise_nothing_else(data):
    assert same(verdict(data), plain_verdict(data))


@st.composite
def mutated(draw: Any) -> bytes:
    data = bytearray(draw(st.sampled_from(BODIES) | any_frame.map(lambda f: bytes(encode(f, LIMIT)[4:]))))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 3)):
            case 0:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 1:
                data[at:at] = draw(st.binary(min_size=1, max_size=5))
            case 2:
                del data[at : at + draw(st.integers(1, 8))]
            case 3:
                data = data[:at]
    return bytes(data)


@settings(max_examples=3000, deadline=None)
@given(mutated())
def test_T24_both_give_mutated_frames_the_same_verdict_and_raise_nothing_else(data):
    assert same(verdict(data), plain_verdict(data))
