"""Frames that no honest peer sends, and what the Python side makes of them (T22, T24 to T27).

The bridge's own tests hold the same of it (bridge_go/wire, bridge_go/server); what holds of both, their verdicts, is compared
here frame by frame, by the program in `verdicts/`.
"""

from __future__ import annotations

import os
import random
import resource
import socket
import subprocess
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pyrunner import plain
from pyrunner.client import Connection, Identity, LinkLost
from pyrunner.protocol import ByeCode, DecodeError, Role, codec, frames, preface
from tests.unit.protocol.vectors_of_the_wire import body, load

ROOT = Path(__file__).parents[2]
TOKEN = b"0123456789abcdef0123456789abcdef"
COLUMNS = [
    b
    for b in (body(v) for v in load("frames/valid-1.1.json") + load("frames/invalid-1.1.json"))
    if len(b) < 4096
]
MIB = 1 << 20
SEED = 20131001
BODIES = [
    b for b in (body(v) for v in load("frames/valid.json") + load("frames/invalid.json")) if len(b) < 4096
]
SKIPPED = 255


# ---- a bridge that sends what it likes


class Hostile:
    """The bridge's side of one connection, by hand, up to WELCOME; then it is told which bytes to send."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._accepting = threading.Thread(target=self._greet, daemon=True)
        self._accepting.start()
        self.worker = Connection.open(
            f"tcp://127.0.0.1:{self._listener.getsockname()[1]}", TOKEN, Role.EVENTS, Identity("p", "c", "w")
        )
        self._accepting.join(60)
        self.worker.send(self.worker.session.ready(16_384, 1 << 24))

    def send(self, data: bytes) -> None:
        self._peer.sendall(data)

    def farewell(self) -> tuple[LinkLost, float]:
        """How the worker takes it, and the seconds that it needed."""
        began = time.perf_counter()
        with pytest.raises(LinkLost) as lost:
            while True:
                self.worker.receive(60)
        return lost.value, time.perf_counter() - began

    def heard(self) -> bytes:
        """What the worker has said by the end of the connection."""
        self._peer.settimeout(60)
        said = b""
        while part := self._peer.recv(65536):
            said += part
        return said

    def close(self) -> None:
        self.worker.close()
        self._peer.close()
        self._listener.close()

    def _greet(self) -> None:
        self._peer, _ = self._listener.accept()
        hello = self._exactly(preface.HELLO_SIZE)
        challenge, _ = preface.challenge(TOKEN, hello, os.urandom(32))
        self._peer.sendall(challenge)
        verdict = preface.verdict(TOKEN, hello, challenge, self._exactly(32))
        self._peer.sendall(bytes((verdict,)))
        self._exactly(int.from_bytes(self._exactly(4), "big"))  # HELLO
        welcome = frames.Welcome(7, "hostile", frames.MAX_FRAME, 5000, 1000)
        self._peer.sendall(codec.encode(welcome, frames.FIRST_MAX_FRAME))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self._peer.recv(size - len(data))
        return data


@pytest.fixture
def hostile() -> Iterator[Callable[[], Hostile]]:
    bridges: list[Hostile] = []

    def build() -> Hostile:
        bridges.append(Hostile())
        return bridges[-1]

    yield build
    for one in bridges:
        one.close()


def peak() -> int:
    """The most memory that this process has ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, frames.MAX_FRAME + 1, 0, 1])
def test_T22_a_bridge_that_announces_a_hostile_length_is_closed_at_once(
    hostile: Callable[[], Hostile], length: int
) -> None:
    hostile().worker.receive(0)  # the first one imports and compiles
    before, times = peak(), []
    for _ in range(5):
        bridge = hostile()
        bridge.send(length.to_bytes(4, "big") + (b"\xc1" if length == 1 else b""))
        lost, seconds = bridge.farewell()
        times.append(seconds)
        assert "broke the protocol" in str(lost)
    assert min(times) < 1, times
    assert peak() - before < 8 * MIB, "half of the least that was announced"
    code = ByeCode.MALFORMED if length < 2 else ByeCode.LIMIT
    assert codec.encode(frames.Bye(code, ""), 1 << 16)[4:7] in bridge.heard(), "the bridge was not told why"


def test_T22_a_length_within_the_limit_is_waited_for(hostile: Callable[[], Hostile]) -> None:
    """The control: the refusals above are for the length, not for the silence behind it."""
    bridge = hostile()
    bridge.send((4096).to_bytes(4, "big") + b"\x94")
    lost: list[LinkLost] = []
    worker = threading.Thread(target=lambda: lost.append(bridge.farewell()[0]), daemon=True)
    worker.start()
    worker.join(0.2)
    assert worker.is_alive()
    bridge.send(bytes(4095))
    worker.join(60)
    assert "broke the protocol" in str(lost[0])


# ---- depth and announced sizes

CALL = b"\x96\x09\x01\xc0\x00\xa1a"  # up to its arguments
BATCH = b"\x9c\x04\x01\x07\x02\x01\x05\xa1s\x93\x00\x00\x01"  # up to its payloads
HOSTILE = {
    f"{what} in {where}": make
    for where, start in {
        "a call": CALL,
        "a batch": BATCH,
        "a header list": BATCH + b"\x91\xc0\xc0\x91",
    }.items()
    for what, make in {
        "nested 33": start + b"\x91" * 33 + b"\xc0",
        "nested 1,000": start + b"\x91" * 1_000 + b"\xc0",
        "nested 100,000": start + b"\x91" * 100_000 + b"\xc0",
        "nested 16 million": start + b"\x91" * 16_000_000,
        "array32": start + b"\xdd\xff\xff\xff\xff",
        "map32": start + b"\xdf\xff\xff\xff\xff",
        "bin32": start + b"\xc6\xff\xff\xff\xff",
        "ext32": start + b"\xc9\xff\xff\xff\xff\x01",
    }.items()
}


def refused(decode: Callable[[bytes], object], frame: bytes) -> bool:
    try:
        decode(frame)
    except (DecodeError, plain.ProtocolError):
        return True
    return False


@pytest.mark.parametrize("decode", [codec.decode, plain.decode], ids=["fast", "plain"])
@pytest.mark.parametrize("name", HOSTILE)
def test_T25_depth_and_announced_sizes_are_refused_within_a_millisecond_and_a_mebibyte(
    name: str, decode: Callable[[bytes], object]
) -> None:
    frame, times = HOSTILE[name], []
    for _ in range(7):
        began = time.thread_time()  # of this thread alone: others may have the processor in between
        assert refused(decode, frame)
        times.append(time.thread_time() - began)
    tracemalloc.start()
    assert refused(decode, frame)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert min(times) < 0.001, times
    assert most <= MIB


# ---- a million frames


def mutated(rng: random.Random, number: int, bodies: list[bytes] = BODIES) -> Iterator[bytes]:
    """Random frames, and vectors with a few bytes changed, put in, taken out, doubled or cut; most of them still begin well."""
    for _ in range(number):
        if rng.random() < 0.2:
            yield bytes((0x90 | rng.randrange(1, 16), rng.randrange(16))) + rng.randbytes(rng.randrange(60))
            continue
        frame = bytearray(rng.choice(bodies))
        for _ in range(rng.randrange(1, 4)):
            mutate(rng, frame)
        yield bytes(frame)


def mutate(rng: random.Random, frame: bytearray) -> None:
    at = rng.randrange(len(frame) + 1)
    match rng.randrange(5):
        case 0 if at < len(frame):
            frame[at] = rng.randrange(256)
        case 1 if at < len(frame):
            frame[at] ^= 1 << rng.randrange(8)
        case 2:
            frame[at:at] = rng.randbytes(rng.randrange(1, 5))
        case 3:
            frame[at:at] = frame[at : at + rng.randrange(1, 40)]
        case _:
            del frame[at : at + rng.randrange(1, 8)]


def fast(frame: bytes, minor: int = 0) -> int:
    """The code for which a frame is refused, 0 when it is taken."""
    try:
        return 0 if codec.decode(frame, minor) is not None else SKIPPED
    except DecodeError as error:
        return int(error.code)


def copied(frame: bytes) -> int:
    """The same of the plain client."""
    try:
        return 0 if plain.decode(frame) is not None else SKIPPED
    except plain.ProtocolError as error:
        return int(error.args[0])


def bridges(list_of: list[bytes], minor: int = 0) -> bytes:
    """The same of the bridge, for each frame."""
    stream = b"".join(len(frame).to_bytes(4, "big") + frame for frame in list_of)
    done = subprocess.run(
        ["go", "run", "./tests/faults/verdicts", str(minor)],
        cwd=ROOT,
        input=stream,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return done.stdout


def compare(number: int, seed: int) -> int:
    """How many of so many frames are taken; all three decoders agree on which."""
    print(f"seed {seed}")
    list_of = list(mutated(random.Random(seed), number))
    theirs = bridges(list_of)
    assert len(theirs) == number
    taken = 0
    for frame, bridge in zip(list_of, theirs, strict=True):
        ours = fast(frame), copied(frame)
        kinds = {0 if code == 0 else SKIPPED if code == SKIPPED else 1 for code in (*ours, bridge)}
        assert len(kinds) == 1, f"{frame.hex()}: bridge {bridge}, fast and plain {ours}"
        taken += bridge == 0
    return taken


def test_T24_T27_the_bridge_and_both_python_codecs_agree_on_mutated_frames() -> None:
    taken = compare(20_000, SEED)
    assert 200 < taken < 19_000, "the mutations are too tame or too wild to prove anything"


def test_T24_T27_the_bridge_and_the_codec_agree_on_mutated_frames_of_columns() -> None:
    """The plain client speaks 1.0, to which these are frames of an unknown type."""
    print(f"seed {SEED}")
    list_of = list(mutated(random.Random(SEED), 20_000, COLUMNS))
    verdicts = [(code, fast(frame, 1)) for frame, code in zip(list_of, bridges(list_of, 1), strict=True)]
    different = [(f.hex(), v) for f, v in zip(list_of, verdicts, strict=True) if (v[0] == 0) != (v[1] == 0)]
    assert not different, different[0]
    taken = sum(bridge == 0 for bridge, _ in verdicts)
    assert 200 < taken < 19_000, "the mutations are too tame or too wild to prove anything"
    assert all(fast(frame) != 0 for frame in list_of if frame[:4] == b"\xdc\x00\x12\x0e")


@pytest.mark.long
def test_T24_T27_a_million_mutated_frames_have_one_verdict_and_leave_nothing_behind() -> None:
    compare(50_000, SEED)
    before, taken = peak(), 0
    for part in range(20):
        taken += compare(50_000, SEED + 1 + part)
    print(f"{taken} of a million were taken")
    assert peak() - before < 32 * MIB


def test_T24_T27_a_codec_that_lets_something_pass_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: a rule less in one of them, and they disagree."""
    from pyrunner.protocol import rules

    monkeypatch.setattr(rules, "check", lambda frame: None)
    with pytest.raises(AssertionError, match="bridge"):
        compare(20_000, SEED)


@pytest.mark.long
@pytest.mark.parametrize(
    ("package", "target"),
    [("wire", "FuzzT24Frame"), ("wire", "FuzzT24Preface"), ("session", "FuzzT24Machine")],
)
def test_T24_the_fuzz_targets_of_the_bridge_find_nothing(package: str, target: str, tmp_path: Path) -> None:
    """Half a minute each, from the vectors as seeds. What is found is printed; as a seed of the target it stays."""
    command = [
        "go",
        "test",
        f"./bridge_go/{package}",
        "-run=^$",
        f"-fuzz=^{target}$",
        "-fuzztime=30s",
        "-fuzzminimizetime=10x",
        "-parallel=2",
    ]
    cache = f"-test.fuzzcachedir={tmp_path}"
    done = subprocess.run([*command, cache], cwd=ROOT, capture_output=True, text=True, timeout=180)
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "elapsed: 30s" in done.stdout
