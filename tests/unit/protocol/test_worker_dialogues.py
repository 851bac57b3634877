"""The shared stories, driven from the worker's side: a Session plays the worker, the test plays the bridge."""

from __future__ import annotations

import pytest

from pyrunner.protocol import Bye, LocalError, ProtocolError, Role, Session, State, decode, encode
from tests.unit.protocol.vectors_of_the_wire import body, comparable, dialogues, load, to_fields, to_frame

DEFAULTS = load("dialogues/defaults.json")
STORIES = [
    (name, story)
    for name, story in dialogues() + dialogues("dialogues-1.1")
    if story["breaks_the_rules"] != "worker"
]
DEFAULTS_OF_COLUMNS = load("dialogues-1.1/defaults.json")
LIMIT = 16 * 1024 * 1024
STATES = {
    "new": {State.START, State.GREETING},
    "greeted": {State.GREETED, State.GREETING},
    "ready": {State.READY},
    "draining": {State.DRAINING},
    "closed": {State.CLOSED},
}


def complete(written: dict, minor: int = 0) -> dict:
    defaults = DEFAULTS_OF_COLUMNS if minor else DEFAULTS
    return {"type": written["type"]} | defaults[written["type"]] | written


def sent_bytes(step: dict, minor: int = 0) -> bytes:
    if "frame" not in step:
        return body(step)
    return bytes(encode(to_frame(complete(step["frame"], minor)), LIMIT)[4:])


def send(session: Session, written: dict) -> list[bytearray]:
    """Have the session send a frame by the verb that makes it."""
    frame = to_frame(complete(written, session.minor))
    match written["type"]:
        case "HELLO":
            return [session.hello(frame)]
        case "READY":
            return [session.ready(frame.events, frame.bytes)]
        case "RESULT":
            return session.result(frame)
        case "ANSWERS":
            return [session.answers(frame)]
        case "RETURN":
            return [session.give_back(frame.lease, frame.code, frame.reason, frame.retry_ms)]
        case "DRAIN":
            return [session.drain(frame.reason)]
        case "BYE":
            return [session.goodbye(frame.code, frame.reason)]
        case "CALL":
            args = comparable(frame)[1]["args"]
            return [session.call(frame.method, args, frame.deadline_ms, frame.lease, number=frame.id)[1]]
        case "PULSE":
            return [session.pulse(frame.seq)]
        case "DIED":
            return [session.died(frame.worker, frame.cause, frame.detail)]
    raise AssertionError(f"a worker does not send {written['type']}")


@pytest.mark.parametrize(("name", "story"), STORIES, ids=[name for name, _ in STORIES])
def test_the_worker_plays_its_part(name, story):
    minor = story.get("minor", 0)
    session = Session(Role[story["role"].upper()], minor)
    broken: ProtocolError | None = None
    for step in story["steps"]:
        if step.get("event") == "eof":
            session.end_of_file()
        elif step["from"] == "bridge":
            broken = feed(session, sent_bytes(step, minor))
        elif broken is not None:
            (goodbye,) = [session.goodbye(broken.code, broken.reason)]
            assert decode(goodbye[4:]).code == step["frame"]["code"]
        elif "hex" in step or (step.get("outcome") == "ignored" and step["state"] == "closed"):
            continue  # bytes that no verb makes; a frame after the end
        else:
            compare(send(session, step["frame"]), step["frame"], minor)
        check_state(session, step, story)


def feed(session: Session, data: bytes) -> ProtocolError | None:
    try:
        session.receive(data)
    except ProtocolError as error:
        return error
    return None


def compare(frames: list[bytearray], written: dict, minor: int) -> None:
    (data,) = frames
    frame = decode(data[4:], minor)
    fields = to_fields(written)
    raw = {"args", "value"} & fields.keys()
    assert {k: getattr(frame, k) for k in fields.keys() - raw} == {k: fields[k] for k in fields.keys() - raw}


def check_state(session: Session, step: dict, story: dict) -> None:
    # The story tells the bridge's state: where its own goodbye closes it at once, ours closes when that arrives, and
    # a worker is new until WELCOME.
    at_goodbye = step["state"] == "closed" and step.get("from") == "worker" and step is not story["steps"][-1]
    if not at_goodbye and not (step["state"] == "greeted" and session.state in STATES["new"]):
        assert session.state in STATES[step["state"]], step


def test_nothing_is_sent_after_the_end():
    session = Session(Role.EVENTS)
    session.goodbye()
    with pytest.raises(LocalError):
        session.ready(1, 1)
    with pytest.raises(ProtocolError):
        session.receive(bytes(encode(Bye(0, ""), LIMIT)[4:]))
