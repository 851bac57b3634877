"""The shared stories of an events connection, played by PlainClient over a socket; the test plays the bridge."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from pyrunner import plain
from pyrunner.protocol import codec, preface
from tests.unit.protocol.test_worker_dialogues import complete, sent_bytes
from tests.unit.protocol.vectors_of_the_wire import dialogues

TOKEN = b"correct horse battery staple"
# Stories of what a plain client never does: it holds no READY back, and answers each batch whole and in turn.
NOT_ITS_OWN = {
    "a lease before READY",  # it says READY as soon as it is welcome
    "a batch after the bridge's own DRAIN",  # it has said goodbye by then
    "a result that runs ahead of its batch is dropped, the batch is still open",
    "a batch goes back after its first part was answered",
    "a worker that says any order answers and returns batches in that of its own, and their parts in turns",
    "a worker in any order that drains is said goodbye to when the last of its batches is answered, not the youngest",
}
VERBS = {"HELLO", "READY", "RESULT", "RETURN", "DRAIN", "BYE"}


def can_play(story: dict[str, Any]) -> bool:
    frames = [s["frame"] for s in story["steps"] if s.get("from") == "worker" and "frame" in s]
    ready = [f for f in frames if f["type"] == "READY"]
    batches = {
        s["frame"].get("batch", 7) for s in story["steps"] if s.get("frame", {}).get("type") == "BATCH"
    }
    return (
        story["role"] == "events"
        and story["breaks_the_rules"] != "worker"
        and all(f["type"] in VERBS for f in frames)
        and not any("hex" in s for s in story["steps"] if s.get("from") == "worker")
        and len(ready) <= 1
        and all(f.get("first", 0) == 0 and not f.get("epoch") and f.get("nonce", 1) == 1 for f in frames)
        and all(f.get("batch", 7) in batches for f in frames if f["type"] in ("RESULT", "RETURN"))
        and any(s.get("from") == "bridge" for s in story["steps"])
        and story["steps"][0].get("frame", {}).get("type") == "HELLO"
        and story["story"] not in NOT_ITS_OWN
    )


STORIES = [(name, story) for name, story in dialogues() if can_play(story)]


class Bridge:
    """The other end of the socket, at the mercy of a story."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"
        self.buffer = codec.FrameBuffer(plain.MAX_FRAME)
        self.bodies: list[bytes] = []

    def accept(self) -> None:
        self.socket, _ = self.listener.accept()
        self.socket.settimeout(60)
        hello = self.socket.recv(48, socket.MSG_WAITALL)
        challenge, _ = preface.challenge(TOKEN, hello, bytes(32))
        self.socket.sendall(challenge)
        proof = self.socket.recv(32, socket.MSG_WAITALL)
        self.socket.sendall(bytes((preface.verdict(TOKEN, hello, challenge, proof),)))

    def send(self, body: bytes) -> None:
        self.socket.sendall(len(body).to_bytes(4, "big") + body)

    def receive(self) -> list[Any]:
        while not self.bodies:
            self.buffer.feed(self.socket.recv(65536))
            self.bodies += self.buffer
        frame = plain.decode(self.bodies.pop(0))
        assert frame is not None
        return frame


class Worker(threading.Thread):
    """A plain client that takes what it is given, and says what the story tells it to say."""

    def __init__(self, url: str, window: tuple[int, int]) -> None:
        super().__init__(daemon=True)
        self.url, self.window = url, window
        self.batches: dict[int, Any] = {}
        self.error: Exception | None = None
        self.client: plain.PlainClient | None = None

    def run(self) -> None:
        try:
            self.client = plain.PlainClient(self.url, TOKEN, program="p", command="c", window=self.window)
            for batch in self.client:
                self.batches[batch.batch] = batch
        except Exception as error:
            self.error = error

    def say(self, frame: dict[str, Any]) -> None:
        assert self.client is not None
        batch = self.batches.get(frame.get("batch", 7))
        match frame["type"]:
            case "RESULT":
                outputs = bytes.fromhex(frame["outputs"]) if isinstance(frame["outputs"], str) else None
                lines = (
                    outputs.split(b"\n")[:-1]
                    if outputs is not None
                    else [bytes.fromhex(o) for o in frame["outputs"]]
                )
                errors = [(*e[:4], None, e[5]) for e in frame["errors"]]
                self.client.answer(batch, lines, errors, frame["counts"], frame["routes"])
            case "RETURN":
                self.client.give_back(batch, frame["code"], frame["reason"], frame["retry_ms"])
            case "DRAIN":
                self.client.drain(frame["reason"])
            case "BYE":
                self.client._send(plain.BYE, frame["code"], frame["reason"])


@pytest.mark.parametrize(("name", "story"), STORIES, ids=[name for name, _ in STORIES])
def test_the_plain_client_plays_its_part(name, story):
    bridge = Bridge()
    ready = next(
        (s["frame"] for s in story["steps"] if s.get("frame", {}).get("type") == "READY"), {"type": "READY"}
    )
    window = complete(ready)
    worker = Worker(bridge.url, (window["events"], window["bytes"]))
    worker.start()
    bridge.accept()
    drained = said_goodbye = False
    for step in story["steps"]:
        if step.get("event") == "eof":
            bridge.socket.close()
        elif step["from"] == "bridge":
            bridge.send(sent_bytes(step))
            drained |= step.get("frame", {}).get("type") == "DRAIN"
            said_goodbye |= step.get("frame", {}).get("type") == "BYE"
        elif not said_goodbye:
            play(bridge, worker, complete(step["frame"]), step, drained)
    bridge.socket.close()
    worker.join(60)
    assert not worker.is_alive()
    if story["breaks_the_rules"] == "bridge":
        assert isinstance(worker.error, plain.ProtocolError)


def play(bridge: Bridge, worker: Worker, frame: dict[str, Any], step: dict[str, Any], drained: bool) -> None:
    """Have the worker say its line, unless it does so by itself, and hear it."""
    kind = frame["type"]
    by_itself = kind in ("HELLO", "READY") or (kind == "BYE" and (drained or frame["code"] not in (0, 10)))
    if drained and kind != "BYE":
        return  # a plain client answers before it looks at what comes next; the test cannot make it wait
    if not by_itself:
        wait_for_batch(worker, frame)
        worker.say(frame)
    heard = bridge.receive()
    while kind != "READY" and heard[0] == plain.READY:
        heard = bridge.receive()  # it is ready as soon as it is welcome
    assert plain.FRAMES[heard[0]][0] == kind
    if kind == "BYE":
        assert heard[1] == frame["code"]


def wait_for_batch(worker: Worker, frame: dict[str, Any]) -> None:
    deadline = threading.Event()
    for _ in range(6_000):
        if worker.client is not None and ("batch" not in frame or frame["batch"] in worker.batches):
            return
        deadline.wait(0.01)
    raise AssertionError(f"no batch {frame.get('batch')}")


def test_enough_of_the_stories_are_played():
    assert len(STORIES) >= 25


def test_a_bridge_with_another_token_is_refused():
    bridge = Bridge()
    worker = Worker(bridge.url, (1, 1))
    worker.start()
    sock, _ = bridge.listener.accept()
    hello = sock.recv(48, socket.MSG_WAITALL)
    sock.sendall(preface.challenge(b"quite another token!", hello, bytes(32))[0])
    worker.join(60)
    assert isinstance(worker.error, ConnectionError)
    assert sock.recv(32) == b""  # no proof for a bridge that has not proved itself
