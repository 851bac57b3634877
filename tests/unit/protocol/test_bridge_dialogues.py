"""The shared stories, driven from the bridge's side: the BridgeSession that FakeBridge uses plays the bridge."""

from __future__ import annotations

import pytest

from pyrunner.protocol import Bye, Pulse, Role
from pyrunner.testing.bridge_session import BridgeSession
from tests.unit.protocol.test_worker_dialogues import complete, sent_bytes
from tests.unit.protocol.vectors_of_the_wire import dialogues, to_frame

STORIES = [(name, story) for name, story in dialogues() if story["breaks_the_rules"] != "bridge"]


@pytest.mark.parametrize(("name", "story"), STORIES, ids=[name for name, _ in STORIES])
def test_the_bridge_plays_its_part(name, story):
    session = BridgeSession(Role[story["role"].upper()])
    for step in story["steps"]:
        if step.get("event") == "eof":
            session.end_of_file()
        elif step["from"] == "worker":
            received = session.receive(sent_bytes(step))
            assert received.outcome == step.get("outcome", received.outcome)
        else:
            say(session, step)
        assert session.state.value == step["state"], step
        if "returned" in step and session.state.value == "closed":
            assert [lease.batch for lease in session.returned] == step["returned"]


def say(session: BridgeSession, step: dict) -> None:
    """A frame that the rules demand is in `replies` already; any other the test has sent."""
    if "hex" in step:
        return
    frame = to_frame(complete(step["frame"]))
    if session.replies:
        (reply,) = session.replies
        session.replies.clear()
        assert type(reply) is type(frame)
        assert isinstance(reply, Bye | Pulse)
        written = {k: v for k, v in step["frame"].items() if k != "type"}
        assert {k: getattr(reply, k) for k in written} == written
    else:
        session.send(frame)
