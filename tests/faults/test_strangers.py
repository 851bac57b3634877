"""Who dials the bridge without being a worker of its, or with two hundred at once (T22, T23, T26, T29, T30, T38)."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyrunner.client import Backoff, Connection, ControlClient, Dialler, Identity, LinkLost, Unreachable
from pyrunner.protocol import Batch, Kind, PrefaceError, Result, Role, RowFailure
from pyrunner.protocol import preface as pure

from .rig import Rig, wait_until
from .science import DOUBLE, twice
from .test_leases import Liar

MIB = 1 << 20


def resident(pid: int, what: str = "VmRSS") -> int:
    """Memory of a process in bytes: VmRSS now, VmHWM at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"{what} is not told")


def processor_seconds(pid: int) -> float:
    """What a process has computed so far, in seconds of one core."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stranger(pod: Rig, role: Role = Role.EVENTS) -> tuple[Connection, socket.socket]:
    """A greeted connection, and its socket to write anything to."""
    token = pure.read_token(pod.token.read_bytes())
    identity = Identity(program="rig", command="score-stream", worker=f"stranger{random.random()}")
    connection = Connection.open(f"tcp://127.0.0.1:{pod.port}", token, role, identity)
    return connection, connection._sock


def farewell(connection: Connection) -> LinkLost:
    with pytest.raises(LinkLost) as lost:
        while True:
            connection.receive(60)
    return lost.value


def serve(pod: Rig) -> None:
    pod.start_bridge()
    pod.await_bridge()


# ---- frames


def test_T22_T26_hostile_frames_cost_the_bridge_no_memory_and_disturb_nobody(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE, workers=1)
    serve(pod)
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(500))
    pod.wait_settled(seconds=150)
    assert pod.bridge is not None
    pid, highest = pod.bridge.pid, resident(pod.bridge.pid, "VmHWM")
    for length in (0xFFFFFFFF, 0x7FFFFFFF, 16 * MIB + 1):
        connection, sock = stranger(pod)
        sock.sendall(length.to_bytes(4, "big") + bytes(1000))
        assert farewell(connection).bye is not None
    assert resident(pid, "VmHWM") - highest < 8 * MIB, "half of the least that was announced"

    empty = b"\x96\x09\x01\xc0\x00\xa1a\xdd\x00\xff\xff\x00" + b"\x90" * 0xFFFF00
    connection, sock = stranger(pod, Role.CALLS)
    sock.sendall(len(empty).to_bytes(4, "big") + empty)
    lost = farewell(connection)
    assert lost.bye is not None and "values" in lost.bye.reason, lost
    assert resident(pid, "VmHWM") - highest < 128 * MIB, (
        "the frame itself and what becomes of it, not 16 million values"
    )

    pod.publish({"id": f"b-{n}", "n": n} for n in range(500))
    verdict = pod.wait_settled(seconds=150).audit(twice)
    verdict.require_at_least_once()
    assert (verdict.out, verdict.duplicates, pod.status()["worker_deaths"]) == (1_000, 0, 0), verdict


# ---- who knows no token, or another version


def test_T29_who_does_not_know_the_token_is_refused_and_no_log_tells_it(
    rig: Callable[..., Rig], tmp_path: Path
) -> None:
    pod = rig(DOUBLE, environment={"DS_LOG_LEVEL": "debug"})
    serve(pod)
    other = tmp_path / "other"
    other.write_text("another token, and long enough")
    with pytest.raises(Unreachable, match="does not know our token"):
        ControlClient(f"tcp://127.0.0.1:{pod.port}", other).call("status")
    with pytest.raises(Unreachable, match="No such file"):
        ControlClient(f"tcp://127.0.0.1:{pod.port}", tmp_path / "missing").call("status")
    tape = b""
    with socket.create_connection(("127.0.0.1", pod.port)) as admitted:
        mine = pure.ClientPreface(pod.token.read_bytes().strip(), Role.CONTROL, os.urandom(32))
        admitted.sendall(mine.hello)
        proof = mine.prove(exactly(admitted, 80))
        admitted.sendall(proof)
        assert exactly(admitted, 1) == b"\0"
        tape = mine.hello + proof
    with socket.create_connection(("127.0.0.1", pod.port)) as replayed:
        replayed.sendall(tape)
        assert exactly(replayed, 81)[80] == pure.Refusal.WRONG_PROOF
    wait_until(lambda: refusals(pod, "proof") == 1, seconds=120, what="the refusal to be counted")
    pod.stop_bridge()
    assert pod.token.read_text().strip() not in pod.log("bridge")
    assert '"level":"DEBUG"' in pod.log("bridge")


def test_T29_a_bridge_without_its_token_file_does_not_start(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE)
    pod.token.unlink()
    pod.start_bridge()
    assert pod.bridge is not None
    assert pod.bridge.wait(60) != 0
    assert str(pod.token) in pod.log("bridge")


def refusals(pod: Rig, reason: str) -> float:
    """Counted when the refused one has gone, or after a moment."""
    return pod.metric("ds_wire_refused_total", reason=reason)


def exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (part := sock.recv(size - len(data))):
        data += part
    return data


@pytest.mark.parametrize(("low", "high", "minor"), [(1, 1, 0), (1, 1, 7), (1, 2, 3), (0, 255, 255)])
def test_T30_a_client_of_another_version_is_served_in_the_one_that_both_know(
    rig: Callable[..., Rig], low: int, high: int, minor: int
) -> None:
    pod = rig(DOUBLE)
    serve(pod)
    assert dialled_with(pod.port, pod, low, high, minor) == (1, min(minor, pure.MINOR))


@pytest.mark.parametrize(("low", "high"), [(2, 3), (0, 0)], ids=["later", "earlier"])
def test_T30_a_client_without_a_common_version_is_refused_with_a_sentence(
    rig: Callable[..., Rig], low: int, high: int
) -> None:
    pod = rig(DOUBLE)
    serve(pod)
    with pytest.raises(PrefaceError, match="no protocol version in common") as refused:
        dialled_with(pod.port, pod, low, high, 0)
    assert refused.value.refusal == pure.Refusal.NO_COMMON_VERSION
    wait_until(lambda: refusals(pod, "version") == 1, seconds=120, what="the refusal to be counted")


def dialled_with(port: int, pod: Rig, low: int, high: int, minor: int) -> tuple[int, int]:
    """The version in which a client that knows these majors is served."""
    token = pod.token.read_bytes().strip()
    mine = pure.ClientPreface(token, Role.CONTROL, os.urandom(32), low=low, high=high, minor=minor)
    with socket.create_connection(("127.0.0.1", port), 60) as sock:
        sock.sendall(mine.hello)
        sock.sendall(mine.prove(exactly(sock, 80)))
        return mine.finish(exactly(sock, 1))


def test_T30_a_worker_says_in_one_sentence_that_its_bridge_is_of_another_version(
    rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bridge of a later major refuses; the worker waits for one that it understands, and is told of once."""
    pod = rig(DOUBLE, workers=1)
    listener = socket.create_server(("127.0.0.1", 0))
    refusal = pure.MAGIC + bytes((2, 0, pure.Refusal.NO_COMMON_VERSION)) + bytes(69)
    threading.Thread(target=answer_all, args=(listener, refusal), daemon=True).start()
    serve(pod)
    pod.start_runner(port=listener.getsockname()[1])
    sentence = "no protocol version in common"
    wait_until(lambda: sentence in pod.log("runner"), seconds=120, what="the sentence in the log")
    time.sleep(1)
    assert pod.log("runner").count(sentence) == 1
    listener.close()


def answer_all(listener: socket.socket, challenge: bytes) -> None:
    """What a bridge that refuses everybody says, until the listener is closed."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock:
            exactly(sock, 48)
            sock.sendall(challenge)


def test_T30_frames_of_the_future_are_skipped_or_refused_by_their_number(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE)
    serve(pod)
    connection, sock = stranger(pod, Role.CONTROL)
    sock.sendall(b"\x00\x00\x00\x04\x92\xcc\xc8\x01")  # type 200 of a later minor: skipped
    number, call = connection.session.call("status", (), 60_000)
    connection.send(call)
    answer: Any = connection.receive(60)
    assert answer.id == number and answer.ok
    sock.sendall(b"\x00\x00\x00\x02\x91\x64")  # type 100: fatal
    lost = farewell(connection)
    assert lost.bye is not None and lost.bye.code == 5 and "100" in lost.bye.reason, lost


# ---- slow ones

# A byte a second on each connection, spread over the second as strangers are. When all stand, "ready" is printed, and at their
# end how long each lived.
CROWD = """
import json, select, socket, sys, time

port, count = int(sys.argv[1]), int(sys.argv[2])
hello = b"DSWIRE\\r\\n" + bytes((1, 1, 0, 1)) + bytes(36)
poll, crowd, open_, lived = select.epoll(), [], {}, []
for _ in range(count):
    before = time.monotonic()
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setblocking(False)
    crowd.append(sock)
    open_[sock.fileno()] = (sock, before)
    poll.register(sock, select.EPOLLIN)
    time.sleep(0.0005)
print("ready", flush=True)
began, sent = time.monotonic(), 0
while open_:
    while sent < (time.monotonic() - began) * count:
        second, number = divmod(sent, count)
        try:
            crowd[number].send(hello[second : second + 1])
        except OSError:
            pass
        sent += 1
    for number, _ in poll.poll(0.002):
        sock, since = open_[number]
        try:
            data = sock.recv(100)
        except OSError:
            data = b""
        if not data:
            lived.append(time.monotonic() - since)
            poll.unregister(number)
            open_.pop(number)[0].close()
print(json.dumps(lived), flush=True)
"""
CROWDED, ROUND, FEWEST, MOST = 1_000, 2.5, 6, 24  # connections, seconds, rounds


class Live:
    """Two connections that are in use: events are published on one and come as batches on the other."""

    def __init__(self, pod: Rig) -> None:
        self._control = pod.control()
        self._worker = Liar(pod, "live")
        self._number = 0

    def ping(self) -> float:
        """Seconds from publishing an event until its batch has come."""
        self._number += 1
        record = json.dumps({"id": f"a-{self._number}", "n": self._number}).encode()
        began = time.perf_counter()
        self._control.call("publish", "numbers", [[record, b"k"]], deadline=10.0)
        batch = self._worker.batch()
        took = time.perf_counter() - began
        self._answer(batch)
        return took

    def _answer(self, batch: Batch) -> None:
        """Through the session, which keeps the window."""
        lease, count = (batch.nonce, batch.batch, batch.epoch), len(batch.payloads)
        failed = [RowFailure(index, Kind.REJECT, "seen", "", None, 0) for index in range(count)]
        result = Result(*lease, 0, count, [], None, None, failed)
        for frame in self._worker.connection.session.result(result):
            self._worker.connection.send(frame)

    def close(self) -> None:
        self._control.close()
        self._worker.connection.close()


def crowd(pod: Rig, count: int) -> subprocess.Popen[str]:
    """So many connections that send a byte a second, from a process of their own; all of them stand."""
    command = [sys.executable, "-c", CROWD, str(pod.port), str(count)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def lives(process: subprocess.Popen[str]) -> list[float]:
    """How long each connection of the crowd lived."""
    out, _ = process.communicate(timeout=120)
    return list(json.loads(out))


def test_T23_connections_that_send_a_byte_a_second_are_closed_at_their_deadline(
    rig: Callable[..., Rig],
) -> None:
    pod = rig(DOUBLE)
    serve(pod)
    lived = lives(crowd(pod, 200))
    assert len(lived) == 200
    assert 4.9 < min(lived) and max(lived) < 30, (min(lived), max(lived))  # 48 s without a deadline
    wait_until(lambda: refusals(pod, "timeout") == 200, seconds=120, what="the refusals to be counted")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_T23_a_thousand_slow_connections_do_not_slow_those_that_are_live(rig: Callable[..., Rig]) -> None:
    """Two bridges, of which one has the crowd, asked in turn: what else the machine does meets both alike.

    They change places each round. Rounds are added until the 99th percentiles agree, up to a bound: what is slowed stays so.
    """
    pods = [rig(DOUBLE), rig(DOUBLE)]
    for pod in pods:
        serve(pod)
    live = [Live(pod) for pod in pods]
    pings(live, ROUND)  # warm
    quiet: list[float] = []
    busy: list[float] = []
    rounds = 0
    while rounds < FEWEST or (rounds < MOST and not alike(quiet, busy)):
        crowded = rounds % 2
        slow = crowd(pods[crowded], CROWDED)
        times = pings(live, ROUND)
        assert slow.poll() is None, "the crowd left before the measurement ended"
        quiet += times[1 - crowded]
        busy += times[crowded]
        lived = lives(slow)
        assert len(lived) == CROWDED and statistics.median(lived) < 6 and max(lived) < 15, max(lived)
        rounds += 1
    print(f"{rounds} rounds: p99 {1e3 * p99(quiet):.2f} ms alone, {1e3 * p99(busy):.2f} ms beside {CROWDED}")
    assert alike(quiet, busy)

    stop = threading.Event()
    hiccups = threading.Thread(target=hiccup, args=(pods[1], stop), daemon=True)
    hiccups.start()
    still, disturbed = pings(live, 2 * FEWEST)
    stop.set()
    hiccups.join()
    for one in live:
        one.close()
    print(
        f"p99 {1e3 * p99(still):.2f} ms, {1e3 * p99(disturbed):.2f} ms of a bridge that stands still now and then"
    )
    assert not alike(still, disturbed), "the control: what is slowed is seen"


def pings(live: list[Live], seconds: float) -> list[list[float]]:
    """Of each the times of its pings, in turn for so long."""
    until = time.monotonic() + seconds
    times: list[list[float]] = [[] for _ in live]
    while time.monotonic() < until:
        for one, its in zip(live, times, strict=True):
            its.append(one.ping())
    return times


def p99(times: list[float]) -> float:
    return sorted(times)[int(0.99 * len(times))]


def alike(quiet: list[float], busy: list[float]) -> bool:
    return p99(busy) < 1.10 * p99(quiet)


def hiccup(pod: Rig, stop: threading.Event) -> None:
    """The bridge does not run for a third of the time, 200 ms at once."""
    assert pod.bridge is not None
    while not stop.wait(0.4):
        os.kill(pod.bridge.pid, signal.SIGSTOP)
        time.sleep(0.2)
        os.kill(pod.bridge.pid, signal.SIGCONT)


# ---- all at once

WORKERS = 200


class _Quiet:
    def info(self, event: str, **values: object) -> None: ...

    def warning(self, event: str, **values: object) -> None: ...


class Hordes:
    """The connections of so many workers, each dialled again by the worker's own dialler when it is lost."""

    def __init__(self, pod: Rig, count: int) -> None:
        self._pod, self._stop = pod, threading.Event()
        self._lock = threading.Lock()
        self.planned: list[float] = []  # when they mean to dial again: this process may be late for it
        self.connected = 0
        self._threads = [
            threading.Thread(target=self._live, args=(number, role), daemon=True)
            for number in range(count)
            for role in (Role.EVENTS, Role.CALLS)
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)

    def _live(self, number: int, role: Role) -> None:
        identity = Identity(program="rig", command="score-stream", worker=f"w{number}")
        dialler = Dialler(f"tcp://127.0.0.1:{self._pod.port}", self._pod.token, role, identity, _Quiet())
        while not self._stop.is_set():
            connection = dialler.dial_until(self._pause)
            if connection is None:
                return
            self._count(1)
            try:
                if role is Role.EVENTS:
                    connection.send(connection.session.ready(1, 1))
                while not self._stop.is_set():
                    connection.receive(0.5)
            except LinkLost:
                pass
            finally:
                self._count(-1)
                connection.close()

    def _pause(self, seconds: float) -> bool:
        self.planned.append(time.monotonic() + seconds)
        return self._stop.wait(seconds)

    def _count(self, change: int) -> None:
        with self._lock:
            self.connected += change


def most_within(times: list[float], seconds: float) -> int:
    """The most of these moments that lie within so many seconds."""
    times, first, most = sorted(times), 0, 0
    for last, moment in enumerate(times):
        while moment - times[first] > seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_T38_two_hundred_workers_that_lose_their_bridge_come_back_one_by_one(rig: Callable[..., Rig]) -> None:
    pod = rig(DOUBLE)
    serve(pod)
    hordes = Hordes(pod, WORKERS)
    wait_until(lambda: hordes.connected == 2 * WORKERS, seconds=120, what="all to be there")
    assert pod.bridge is not None
    pod.bridge.kill()
    pod.bridge.wait()
    time.sleep(4)  # until their waits have grown
    again = time.monotonic()
    pod.start_bridge()
    pod.await_bridge()
    began, used = time.monotonic(), processor_seconds(pod.bridge.pid)
    wait_until(lambda: hordes.connected == 2 * WORKERS, seconds=120, what="all to be back")
    took = time.monotonic() - began
    cores = (processor_seconds(pod.bridge.pid) - used) / took
    dials = [moment for moment in hordes.planned if moment >= again]
    crowded = most_within(dials, 0.1)
    print(f"back after {took:.1f} s, {cores:.2f} cores, at most {crowded} of {len(dials)} dials in 0.1 s")
    hordes.close()
    assert cores < 1
    assert len(dials) > WORKERS and crowded < WORKERS / 2
    assert pod.status()["state"] != "failed"


def waits(rng: random.Random) -> list[float]:
    """When a worker dials that loses its bridge for long."""
    backoff, at, moments = Backoff(rng=rng), 0.0, []
    for _ in range(10):
        at += backoff.next()
        moments.append(at)
    return moments


class Always(random.Random):
    def random(self) -> float:
        return 1.0


def test_T38_waits_grow_and_spread_and_without_their_jitter_all_would_dial_at_once() -> None:
    late = [moment for n in range(WORKERS) for moment in waits(random.Random(n)) if moment > 2]
    assert most_within(late, 0.1) < WORKERS / 5
    together = [moment for _ in range(WORKERS) for moment in waits(Always()) if moment > 2]
    assert most_within(together, 0.1) == WORKERS, "the control: what the spread is there for"
    steps = [b - a for a, b in itertools.pairwise(waits(Always()))]
    assert all(b > a - 1e-9 for a, b in itertools.pairwise(steps)) and round(max(steps), 6) == 5.0
