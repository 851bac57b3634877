"""Webhooks in and endpoints out: what was answered has a fate, whatever is killed; what an endpoint refuses for now comes again."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pyrunner.audit.pod import free_port

from .rig import Rig, wait_until
from .science import DOUBLE, twice

SEED = 20260811
HEAD = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: rig}}
spec:
  model: rig_science:{model}
  connections:
    here: {{url: "embedded:"}}
    there: {{url: "URL", settings: {{SETTINGS}}}}
  streams:
    numbers: {{connection: NUMBERS}}
    numbers.dead: {{connection: here}}
    answers: {{connection: ANSWERS}}
  commands:
    - {{name: score-stream, input: numbers, output: answers, workers: {workers}, deadline: {deadline}, order: {order}}}
"""


def program(url: str, *, numbers: str, answers: str, settings: str = "") -> str:
    text = HEAD.replace("URL", url).replace("SETTINGS", settings)
    return text.replace("NUMBERS", numbers).replace("ANSWERS", answers)


class Senders:
    """Threads that post events, five a request, and send each request until it is answered 200."""

    def __init__(self, pod: Rig, port: int, *, threads: int) -> None:
        self._pod, self._port = pod, port
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._next = 0
        self.unanswered: list[str] = []  # errors of requests that had reached the bridge
        self.statuses: dict[int, int] = {}
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in self._threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while not self._over.is_set():
            with self._lock:
                first, self._next = self._next, self._next + 5
                ids = [f"p{n % 50}-{n}" for n in range(first, first + 5)]
                self._pod.ledger.attempted.update(ids)
            body = json.dumps([{"id": id, "n": int(id.rsplit("-", 1)[1])} for id in ids])
            while not self._post(body, f"request-{first}"):
                if self._over.is_set():
                    return
                time.sleep(0.1)
            with self._lock:
                self._pod.ledger.acknowledged.update(ids)

    def _post(self, body: str, id: str) -> bool:
        link = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            link.connect()
        except OSError:
            return False  # nobody listens
        try:
            link.request(
                "POST", "/numbers", body, {"Idempotency-Key": id, "Content-Type": "application/json"}
            )
            answer = link.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as error:
            with self._lock:
                self.unanswered.append(repr(error))
            return False
        finally:
            link.close()
        with self._lock:
            self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        assert answer.status in (200, 503), answer.status
        return answer.status == 200


def test_events_that_were_answered_have_a_fate_though_bridge_and_workers_are_killed(
    rig: Callable[..., Rig],
) -> None:
    port = free_port()
    pod = rig(
        DOUBLE, workers=2, program=program(f"webhook://127.0.0.1:{port}", numbers="there", answers="here")
    )
    pod.start_bridge()
    pod.start_runner()
    rng = random.Random(SEED)
    senders = Senders(pod, port, threads=16)
    with senders.at_work():
        wait_until(lambda: senders.statuses.get(200, 0) > 50, seconds=120, what="fifty answers")
        for round in range(6):
            answered = senders.statuses[200]
            pod.kill_bridge() if round % 2 else pod.kill_worker(rng)
            wait_until(lambda n=answered: senders.statuses[200] > n + 50, seconds=120, what="more answers")  # type: ignore[misc]
    print(senders.statuses, len(senders.unanswered), "cut off")
    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()


def test_a_bridge_that_is_told_to_stop_answers_every_request(rig: Callable[..., Rig]) -> None:
    port = free_port()
    pod = rig(
        DOUBLE, workers=2, program=program(f"webhook://127.0.0.1:{port}", numbers="there", answers="here")
    )
    pod.start_bridge()
    pod.start_runner()
    senders = Senders(pod, port, threads=16)
    with senders.at_work():
        for _ in range(3):
            answered = senders.statuses.get(200, 0)
            wait_until(
                lambda n=answered: senders.statuses.get(200, 0) > n + 50,  # type: ignore[misc]
                seconds=120,
                what="more answers",
            )
            pod.stop_bridge()
            pod.start_bridge()
    print(senders.statuses)
    assert senders.unanswered == []
    verdict = pod.wait_settled(seconds=150).audit(twice)
    print(verdict)
    verdict.require_at_least_once()


class Endpoint(ThreadingHTTPServer):
    """Stores what it is sent, by its id; in bad moods it refuses, is slow, or hangs up."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, rng: random.Random) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rng = rng
        self.lock = threading.Lock()
        self.answers: dict[str, tuple[str, float]] = {}
        self.sources: set[str] = set()
        self.moods: dict[str, int] = {}
        self.bad = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that was killed is no news."""

    def mood(self) -> str:
        with self.lock:
            mood = self.rng.choices(
                ("well", "503", "429", "500", "cut", "slow", "lost answer"), (200, 10, 1, 10, 10, 10, 10)
            )[0]
            mood = mood if self.bad else "well"
            self.moods[mood] = self.moods.get(mood, 0) + 1
            return mood


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Endpoint

    def log_message(self, *arguments: object) -> None:
        """In silence."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.loads(body)
        mood = self.server.mood()
        if mood in ("well", "lost answer", "slow"):
            with self.server.lock:
                self.server.answers[self.headers["Idempotency-Key"]] = answer["id"], answer["value"]
                self.server.sources.add(self.headers["Ds-Source"])
        if mood == "slow":
            time.sleep(1.5)  # longer than it is waited for
        if mood in ("cut", "lost answer"):
            self.close_connection = True
            return
        if answer["id"].endswith("7777"):
            mood = "422"
        self.send_response(int(mood) if mood.isdigit() else 200)
        if mood == "429":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_an_endpoint_in_bad_moods_gets_every_output_once_by_its_id(rig: Callable[..., Rig]) -> None:
    print(f"seed {SEED}")
    endpoint = Endpoint(random.Random(SEED))
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    settings = "timeout: 1s, concurrency: 32, backoff: 10ms, backoff_max: 100ms"
    url = f"http://127.0.0.1:{endpoint.server_address[1]}"
    pod = rig(DOUBLE, workers=2, program=program(url, numbers="here", answers="there", settings=settings))
    pod.start_bridge()
    pod.start_runner()
    pod.poisons.add(7777)  # refused for good
    pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(7000, 9000))
    wait_until(lambda: len(endpoint.answers) > 300, seconds=120, what="300 outputs at the endpoint")
    pod.kill_bridge()
    wait_until(lambda: len(endpoint.answers) > 800, seconds=120, what="800 outputs at the endpoint")
    endpoint.bad = False

    def stored() -> set[str]:
        return {answer[0] for answer in list(endpoint.answers.values())}

    try:
        wait_until(
            lambda: pod.status()["unsettled"] == 0 and len(stored() - {"p27-7777"}) == 1999,
            seconds=120,
            what="all outputs at the endpoint",
        )
        letters = [json.loads(record[4]) for record in pod.call("tail", "numbers.dead", "", 5000, 0)[0]]
    finally:
        endpoint.shutdown()
    print(endpoint.moods)
    assert [letter["id"] for letter in letters] == ["p27-7777"]
    pod.ledger.dead.extend(letter["id"] for letter in letters)
    pod.ledger.results.extend(
        answer for answer in endpoint.answers.values() if answer[0] != "p27-7777"
    )  # which it had stored in a bad mood
    verdict = pod.ledger.audit(twice)
    print(verdict)
    verdict.require_at_least_once()
    assert verdict.duplicates == 0, verdict
    assert all(source.startswith("numbers/0/") for source in endpoint.sources)
