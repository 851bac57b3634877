"""The audit's program: the user's connections and promises, topics and model of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pyrunner.audit import Place, Route, embedded_route, route_of
from pyrunner.errors import UserError
from pyrunner.program import Program, load_program

USERS = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: theirs}
spec:
  model: theirs:Science
  connections:
    events: {url: "kafka://user@host:9092", settings: {password: "${env:BROKER_PASSWORD}", session_timeout: 6s}}
    warehouse: {url: "postgres://host/db"}
  streams:
    departures: {connection: events, topic: prod.departures}
    estimates: {connection: events}
    gone: {connection: events}
    tape: {connection: events}
  commands:
    - {name: score-stream, input: departures, output: estimates, dead_letter: gone, workers: 3,
       batch: {events: 64}, order: partition, deadline: 9s, guarantee: exactly-once}
"""


def load(folder: Path, text: str) -> Program:
    (folder / "program.yaml").write_text(text)
    return load_program(folder / "program.yaml")


def of_users(folder: Path, command: str = "score-stream", text: str = USERS) -> Route:
    program = load(folder, text)
    return route_of("7f", program, program.command(command))


def test_the_audits_program_has_the_users_connection_promise_and_limits(tmp_path: Path) -> None:
    audits = load(tmp_path, of_users(tmp_path).text())
    assert audits.name == "audit-7f"
    assert list(audits.spec.connections) == ["events"]
    events = audits.spec.connections["events"]
    assert str(events.url) == "kafka://user@host:9092"
    assert events.settings["password"] == "${env:BROKER_PASSWORD}", "the secret stays a reference"
    assert events.settings["session_timeout"] == "6s"
    command = audits.command("score-stream")
    assert command.batch is not None
    assert (command.workers, command.batch.events, command.order) == (3, 64, "partition")
    assert (str(command.deadline), command.guarantee) == ("9s", "exactly-once")


def test_topics_and_model_are_the_audits_own(tmp_path: Path) -> None:
    audits = load(tmp_path, of_users(tmp_path).text())
    topics = {name: stream.topic for name, stream in audits.spec.streams.items()}
    assert topics == {name: f"audit-7f-{name}" for name in ("numbers", "answers", "letters")}
    assert audits.spec.model == "pyrunner.audit.model:Known"


def test_topics_can_be_made_and_have_partitions_that_move(tmp_path: Path) -> None:
    settings = load(tmp_path, of_users(tmp_path).text()).spec.connections["events"].settings
    assert (settings["create"], settings["partitions"]) == ("true", "4")
    text = USERS.replace("session_timeout: 6s", "partitions: 9, create: false")
    settings = load(tmp_path, of_users(tmp_path, text=text).text()).spec.connections["events"].settings
    assert (settings["create"], settings["partitions"]) == ("true", "9")


def test_without_a_program_it_is_the_embedded_broker(tmp_path: Path) -> None:
    route = embedded_route("7f")
    assert load(tmp_path, route.text()).name == "audit-7f"
    assert route.embedded


@pytest.mark.parametrize(
    ("url", "stream", "said"),
    [
        ("file:data", "departures", "departures is read from files, which end"),
        ("webhook://127.0.0.1:0", "departures", "departures is what others send"),
        ("https://example.org/sink", "estimates", "estimates is sent away"),
    ],
)
def test_routes_that_cannot_be_fed_or_read_back_are_refused(
    tmp_path: Path, url: str, stream: str, said: str
) -> None:
    text = (
        USERS.replace("postgres://host/db", url)
        .replace(", guarantee: exactly-once", "")
        .replace("order: partition", "order: key")
    )
    text = re.sub(rf"({stream}: {{connection: )events", r"\1warehouse", text)
    with pytest.raises(UserError, match=said):
        of_users(tmp_path, text=text)


def between(source: str, sink: str) -> Route:
    places = {scheme: Place(scheme, f"{scheme}:") for scheme in (source, sink)}
    return Route("7f", places[source], places[sink], places[sink], {})


@pytest.mark.parametrize(
    ("source", "sink", "embedded", "outside"),
    [
        ("kafka", "postgres", False, ["numbers", "answers", "letters"]),
        ("embedded", "postgres", True, ["answers", "letters"]),
        ("kafka", "embedded", True, ["numbers"]),
        ("memory", "file", True, []),
        ("embedded", "embedded", True, []),
    ],
)
def test_what_lives_in_the_bridge_is_asked_of_it_and_what_lives_outside_is_removed(
    source: str, sink: str, embedded: bool, outside: list[str]
) -> None:
    route = between(source, sink)
    assert (route.embedded, route.outside) == (embedded, outside)
