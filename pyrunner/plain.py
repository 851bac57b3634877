"""A whole worker in one file: take batches of events from a ds-runner bridge and answer them, from any Python program.

    with PlainClient("tcp://127.0.0.1:7400", token, program="flight-delays", command="score-stream", model="3") as client:
        for batch in client:
            client.answer(batch, outputs=[score(payload) for payload in batch.payloads])

It needs msgpack and the standard library and may be copied. It blocks and leaves reconnecting to its caller: the loop ends when
the bridge drains, and raises ConnectionError when the connection is lost. Its codec is written for reading; tests hold it and the
fast one, `pyrunner.protocol`, to the same bytes and verdicts. Sections are those of bridge_go/wire/PROTOCOL.md.
"""

import hmac
import os
import socket
from collections import namedtuple
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, Self

import msgpack

MAX_EVENTS, MAX_VALUES, MAX_DEPTH, MAX_FRAME, U63 = 16_384, 262_144, 16, 16 << 20, 2**63 - 1
Batch = namedtuple("Batch", "nonce batch epoch attempt deadline_ms stream positions payloads keys headers timestamps")  # fmt: skip
HELLO, WELCOME, READY, BATCH, RESULT, RETURN, DRAIN, BYE, CALL, ANSWER, PULSE, DIED, CUT = range(1, 14)


class ProtocolError(ConnectionError):
    """The bridge sent what it may not. `args` are the BYE code with which it was told so, and the reason."""


# Frames (section 2): the kind of each field, judged by `wrong`.
UINT, INT, BIN, BOOL, ANY = ("int", 0, U63), ("int", -(2**63), U63), ("bin", MAX_FRAME), ("bool",), ("any",)
NAME, REAL_NAME, CODE, REASON = ("name", 255), ("real", 255), ("name", 64), ("free", 8192)
BINS, LIMIT, LEASE = ("list", MAX_EVENTS, ("nil", BIN)), ("int", 65536, U63), (UINT, UINT, UINT)
PAIRS = ("nil", ("list", MAX_VALUES, ("or", ("free", MAX_FRAME), BIN)))
ERROR = ("row", UINT, ("int", 1, 3), CODE, REASON, ("nil", ("bin", 8192)), UINT)
FRAMES: dict[int, tuple[Any, ...]] = {
    HELLO: ("HELLO", NAME, NAME, NAME, UINT, UINT, NAME, NAME, UINT, LIMIT, ("bin", 48 << 10)),
    WELCOME: ("WELCOME", UINT, NAME, LIMIT, UINT, UINT), READY: ("READY", UINT, UINT), PULSE: ("PULSE", UINT),
    BATCH: ("BATCH", *LEASE, ("int", 1, U63), UINT, REAL_NAME, ("list", 3 * MAX_EVENTS, INT), BINS, ("nil", BINS),
            ("nil", ("list", MAX_EVENTS, PAIRS)), ("nil", ("list", MAX_EVENTS, INT))),
    RESULT: ("RESULT", *LEASE, UINT, UINT, ("or", ("list", MAX_VALUES, BIN), BIN), ("nil", ("list", MAX_EVENTS, UINT)),
             ("nil", ("list", MAX_VALUES, ("or", UINT, REAL_NAME))), ("list", MAX_EVENTS, ERROR)),
    RETURN: ("RETURN", *LEASE, CODE, REASON, UINT), DRAIN: ("DRAIN", REASON), BYE: ("BYE", ("int", 0, 255), REASON),
    CALL: ("CALL", UINT, ("nil", ("row", *LEASE)), UINT, REAL_NAME, ("list", MAX_VALUES, ANY)),
    ANSWER: ("ANSWER", UINT, BOOL, ANY), DIED: ("DIED", NAME, CODE, REASON), CUT: ("CUT", NAME, REASON),
}  # fmt: skip
STR: dict[str, type[Any]] = {"name": str, "real": str, "free": str}
TYPES = STR | {"bin": bytes, "list": list, "row": list, "bool": bool, "int": int}
FIXED = dict(zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True))  # of floats and integers
WIDTH = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4, 0xDC: 2, 0xDD: 4}  # bytes of a length


def wrong(kind: tuple[Any, ...], value: Any) -> int:
    """0 when a value is of a kind, else the BYE code: 1 malformed, 2 over a limit."""
    name, *rest = kind
    if name == "any" or (name == "nil" and value is None):
        return 0
    if name in ("nil", "or"):
        return next((wrong(one, value) for one in rest if type(value) is TYPES[one[0]]), 1)
    if type(value) is not TYPES[name]:
        return 1
    if name in ("bool", "int"):
        return int(name == "int" and not rest[0] <= value <= rest[1])
    if name == "row":
        return max(map(wrong, rest, value)) if len(rest) == len(value) else 1
    if len(value.encode() if name in STR else value) > rest[0]:
        return 2
    if name == "list":
        return max((wrong(rest[1], item) for item in value), default=0)
    control = name in ("name", "real") and any(c < " " or c == "\x7f" for c in value)
    return int(control or (name == "real" and not value))


def encode(frame: Sequence[Any]) -> bytes:
    body: bytes = msgpack.packb(frame)
    return len(body).to_bytes(4, "big") + body


def decode(body: bytes, minor: int = 0) -> list[Any] | None:
    """The frame in a body as `[type, field, ...]`, None for a type that is to be skipped. Raises ProtocolError."""
    skip(body, 0, 1, [MAX_VALUES])
    try:
        frame = msgpack.unpackb(body, raw=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise ProtocolError(1, f"malformed frame: {error}") from None
    if type(frame) is not list or not frame or wrong(UINT, frame[0]):
        raise ProtocolError(1, "a frame is an array that starts with its type")
    if frame[0] not in FRAMES and frame[0] >= 128:
        return None
    if frame[0] not in FRAMES:
        raise ProtocolError(5, f"frame type {frame[0]} is not known")
    name, *kinds = FRAMES[frame[0]]
    if len(frame) - 1 < len(kinds) or (len(frame) - 1 > len(kinds) and not minor):
        raise ProtocolError(1, f"{name}: {len(frame) - 1} fields instead of {len(kinds)}")
    for number, code in enumerate(map(wrong, kinds, frame[1:]), 1):
        if code:
            raise ProtocolError(code, f"{name}: field {number} is wrong")
    if code := wrong_whole(*(known := frame[: len(kinds) + 1])):
        raise ProtocolError(code, f"{name}: its fields do not fit each other")
    return known


def skip(body: bytes, at: int, depth: int, left: list[int]) -> int:
    """The position behind a value. Refuses depth, number, maps and exts before msgpack takes memory for them."""
    left[0] -= 1
    op = body[at] if at < len(body) else 0xC1
    width = WIDTH.get(op, 0)
    at, size = at + 1 + width, int.from_bytes(body[at + 1 : at + 1 + width], "big")
    if 0x90 <= op <= 0x9F or op in (0xDC, 0xDD):
        items = size if width else op & 0x0F
        if depth > MAX_DEPTH or items > left[0]:
            raise ProtocolError(2, "nested too deep, or too many values")
        for _ in range(items):
            at = skip(body, at, depth + 1, left)
        return at
    if 0xA0 <= op <= 0xBF or width:
        return at + (size if width else op & 0x1F)
    legal = op <= 0x7F or op >= 0xE0 or op in (0xC0, 0xC2, 0xC3) or op in FIXED
    if not legal or left[0] < 0 or (op == 0xCF and body[at : at + 1] >= b"\x80"):
        raise ProtocolError(1 if left[0] >= 0 else 2, "cut short, a value that no frame holds, or too many")
    return at + FIXED.get(op, 0)


def wrong_whole(kind: int, *fields: Any) -> int:
    """The BYE code when fields do not fit each other."""
    if kind == BATCH:
        positions, payloads, keys, headers, timestamps = fields[6:]
        runs = list(zip(positions[0::3], positions[1::3], positions[2::3], strict=False))
        fits = 3 * len(runs) == len(positions) and sum(n for _, _, n in runs) == len(payloads) > 0
        fits &= all(0 <= part < 2**31 and first >= 0 and 1 <= n <= 2**63 - first for part, first, n in runs)
        fits &= all(column is None or len(column) == len(payloads) for column in (keys, headers, timestamps))
        fits &= all([*map(type, h)] == [str, bytes] * (len(h) // 2) for h in headers or [] if h)
        return int(not fits)
    if kind == RESULT:
        first, count, outputs, counts, routes, errors = fields[3:]
        failed, indices, lines = [e[0] for e in errors], (routes or [])[0::2], type(outputs) is bytes
        have = outputs.count(b"\n") if lines else len(outputs)
        if count and first + count > MAX_EVENTS:
            return 2
        inside = all(first <= index < first + count for index in failed)
        if not count or not inside or failed != sorted(set(failed)):
            return 1
        if counts is not None and (len(counts) != count or any(counts[index - first] for index in failed)):
            return 1
        fits = have == (count - len(failed) if counts is None else sum(counts))
        fits &= not (lines and outputs and outputs[-1:] != b"\n")
        fits &= [*map(type, routes or [])] == [int, str] * len(indices) and indices == sorted(set(indices))
        return int(not (fits and all(index < have for index in indices)))
    return wrong(("row", CODE, REASON, BOOL), fields[2]) if kind == ANSWER and not fields[1] else 0


class PlainClient:
    """Iterate over batches, answer each or give it back; `drain` and iterate on to end in order (sections 1, 3 and 5)."""

    def __init__(
        self, url: str, token: str | bytes, *, program: str, command: str, model: str = "", worker: str = "",
        wants: int = 0, window: tuple[int, int] = (1024, 4 << 20),
    ) -> None:  # fmt: skip
        scheme, _, rest = url.partition("://")
        sock = socket.socket(socket.AF_UNIX if scheme == "unix" else socket.AF_INET)
        host, _, port = rest.rpartition(":")
        sock.connect(rest if scheme == "unix" else (host, int(port)))
        self.file, self.window, self.limit, self.nonce = sock.makefile("rwb"), window, 65536, -1
        sock.close()  # the file holds the connection
        self.open: dict[tuple[int, ...], list[bytes | None]] = {}
        self._prove((token.encode() if isinstance(token, str) else token).strip())
        worker = worker or f"{socket.gethostname()}-{os.getpid()}"
        self._send(HELLO, program, command, worker, 0, os.getpid(), "plain", model, wants, MAX_FRAME, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[Any]:
        while True:
            kind, *fields = self._receive()
            if kind == WELCOME and self.nonce < 0:
                self.nonce, self.limit = fields[0], min(fields[2], MAX_FRAME)
                self._send(READY, *self.window)
            elif kind == BATCH and fields[0] == self.nonce and tuple(fields[:3]) not in self.open:
                yield self._lease(Batch(*fields))
            elif kind == DRAIN and self.nonce >= 0:  # what was leased before it is answered by now
                self._send(BYE, 0, "drained")
                return
            elif kind == BYE and fields[0]:
                raise ConnectionError(f"the bridge said goodbye: {fields[0]} {fields[1]}")
            elif kind == BYE:
                return
            else:
                self._refuse(3, f"{FRAMES[kind][0]} out of order")

    def answer(
        self, batch: Any, outputs: Any = (), errors: Any = (), counts: Any = None, routes: Any = None
    ) -> None:
        """One output (bytes) for each event without error, or as many as `counts` says; `errors` as in section 3."""
        self._send(RESULT, *batch[:3], 0, len(batch.payloads), list(outputs), counts, routes, list(errors))
        self.open.pop(batch[:3], None)

    def give_back(self, batch: Any, code: str, reason: str, retry_ms: int = 1000) -> None:
        self._send(RETURN, *batch[:3], code, reason, retry_ms)
        self.open.pop(batch[:3], None)

    def drain(self, reason: str = "the worker ends") -> None:
        self._send(DRAIN, reason)

    def _lease(self, batch: Any) -> Any:
        self.open[batch[:3]] = batch.payloads
        sizes = [len(payload or b"") for payloads in self.open.values() for payload in payloads]
        if len(sizes) > self.window[0] or (len(sizes) > 1 and sum(sizes) > self.window[1]):
            self._refuse(4, "the window is overrun")
        return batch

    def _prove(self, token: bytes) -> None:
        self.file.write(hello := b"DSWIRE\r\n\1\1\0\1\0\0\0\0" + os.urandom(32))
        said = hello + self._read(80)
        bridge = hmac.digest(token, b"ds-wire bridge" + said[:96], "sha256")
        if said[48:64] != b"DSWIRE\r\n\1" + bytes(7) or not hmac.compare_digest(said[96:], bridge):
            self.file.close()
            raise ConnectionError(f"no bridge with our version and token, or it refuses (code {said[58]})")
        self.file.write(hmac.digest(token, b"ds-wire client" + said[:96], "sha256"))
        if refusal := self._read(1)[0]:
            raise ConnectionError(f"the bridge refuses (code {refusal})")

    def _send(self, *frame: Any) -> None:
        self.file.write(encode(frame))
        self.file.flush()

    def _receive(self) -> list[Any]:
        try:
            while True:  # until a frame that is not to be skipped
                if not 1 <= (length := int.from_bytes(self._read(4), "big")) <= self.limit:
                    raise ProtocolError(2 if length else 1, f"frame of {length} bytes")
                if frame := decode(self._read(length)):
                    return frame
        except ProtocolError as error:
            self._refuse(*error.args)

    def _refuse(self, code: int, reason: str) -> NoReturn:
        self._send(BYE, code, reason)
        raise ProtocolError(code, reason)

    def _read(self, size: int) -> bytes:
        self.file.flush()
        data = self.file.read(size)
        if len(data) < size:
            raise ConnectionError("the bridge closed the connection")
        return data
