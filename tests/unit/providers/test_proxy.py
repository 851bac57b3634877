"""What the toxic proxy does to a connection, against a server that sends everything back."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import ToxicProxy

DATA = random.Random(1).randbytes(300_000)


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it is sent, and half-closes after its client."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(sock: socket.socket) -> None:
        with sock:
            try:
                while data := sock.recv(65536):
                    sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                sock = server.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def _connect(link: ToxicProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", link.port), 60)


def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := sock.recv(size - len(data))):
        data += more
    return data


def _round_trip(sock: socket.socket, data: bytes = b"ping") -> float:
    """Seconds until all of `data` is back."""
    start = time.monotonic()
    if (
        len(data) < 1_000
    ):  # what a socket takes at once: an error of its connection is told here, and not to a thread
        sock.sendall(data)
        assert _read(sock, len(data)) == data
        return time.monotonic() - start
    sender = threading.Thread(target=sock.sendall, args=(data,))
    sender.start()
    assert _read(sock, len(data)) == data
    sender.join()
    return time.monotonic() - start


def test_without_toxics_everything_passes_and_both_ends_close_in_order(echo: int) -> None:
    with ToxicProxy(echo) as link, _connect(link) as sock:
        _round_trip(sock, DATA)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        assert (link.connections, link.passed, link.broken) == (1, 2 * len(DATA), 0)


def test_latency_is_added_in_each_direction_and_does_not_throttle(echo: int) -> None:
    with ToxicProxy(echo, latency=1.0) as link, _connect(link) as sock:
        assert 2 <= _round_trip(sock)
        assert _round_trip(sock, DATA) < 15, "chunks wait side by side: one after the other it takes 19 s"


def test_jitter_keeps_the_order(echo: int) -> None:
    with ToxicProxy(echo, latency=0.02, jitter=0.02, slices=7_000) as link, _connect(link) as sock:
        _round_trip(sock, DATA)


def test_bandwidth_bounds_the_rate(echo: int) -> None:
    with ToxicProxy(echo, bandwidth=100_000, direction="down") as link, _connect(link) as sock:
        assert 0.45 <= _round_trip(sock, DATA[:50_000])


def test_slices_arrive_one_by_one(echo: int) -> None:
    with ToxicProxy(echo, slices=1, pause=0.01, direction="down") as link, _connect(link) as sock:
        sock.sendall(b"twenty-five bytes of text")
        sizes = []
        while sum(sizes) < 25:
            sizes.append(len(sock.recv(100)))
        assert len(sizes) > 10, sizes


def test_a_black_hole_keeps_the_connection_and_its_bytes(echo: int) -> None:
    with ToxicProxy(echo) as link, _connect(link) as sock:
        _round_trip(sock)
        link.set(black_hole=True)
        sock.sendall(b"later")
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        link.heal()
        sock.settimeout(60)
        assert _read(sock, 5) == b"later"


def test_a_black_hole_makes_the_sender_wait_and_takes_bounded_memory(echo: int) -> None:
    with ToxicProxy(echo, black_hole=True) as link, _connect(link) as sock:
        sock.settimeout(1)
        with pytest.raises(TimeoutError):
            sock.sendall(bytes(64 << 20))
        assert link.passed == 0


@pytest.mark.parametrize("size", [1, 4, 10_000])
def test_a_cut_comes_after_just_that_many_bytes(echo: int, size: int) -> None:
    with ToxicProxy(echo, cut_after=size, direction="down") as link, _connect(link) as sock:
        sock.sendall(DATA[:20_000])
        received = b""
        with pytest.raises(ConnectionResetError):
            while more := sock.recv(65536):
                received += more
        assert DATA.startswith(received) and len(received) <= size
        assert link.broken == 1


def test_a_reset_ends_all_connections_and_new_ones_are_served(echo: int) -> None:
    with ToxicProxy(echo) as link, _connect(link) as one, _connect(link) as two:
        _round_trip(one)
        _round_trip(two)
        link.reset()
        for sock in (one, two):
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with _connect(link) as three:
            _round_trip(three)
        assert link.broken == 2


def test_a_reset_also_frees_a_sender_that_nobody_reads(echo: int) -> None:
    with ToxicProxy(echo) as link, _connect(link) as sock:
        sock.settimeout(0.5)
        with pytest.raises(TimeoutError):
            sock.sendall(bytes(64 << 20))  # comes back, and is not read
        link.reset()
        sock.settimeout(60)
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            while True:
                sock.sendall(bytes(1 << 20))


def test_connections_may_be_refused(echo: int) -> None:
    with ToxicProxy(echo, refuse=True) as link:
        with pytest.raises(OSError), _connect(link) as sock:
            sock.sendall(b"x")
            sock.recv(1)
            raise ConnectionResetError("the end came without a reset")
        link.heal()
        with _connect(link) as sock:
            _round_trip(sock)


def test_every_connection_dies_after_its_lifetime(echo: int) -> None:
    with ToxicProxy(echo, lifetime=(0.1, 0.3), rng=random.Random(7)) as link:
        for _ in range(5):
            with pytest.raises(ConnectionResetError), _connect(link) as sock:
                while _round_trip(sock) >= 0:
                    time.sleep(0.01)
        assert link.broken == 5


def test_a_target_that_is_not_there_resets_its_clients(echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    # The reset may come before the client has even seen that it is connected.
    with ToxicProxy(port) as link, pytest.raises(ConnectionResetError), _connect(link) as sock:
        sock.recv(1)


def test_the_end_of_the_proxy_is_the_end_of_its_connections(echo: int) -> None:
    before = threading.active_count()
    with ToxicProxy(echo) as link:
        socks = [_connect(link) for _ in range(10)]
        for sock in socks:
            _round_trip(sock)
    for sock in socks:
        with sock, pytest.raises(ConnectionResetError):
            sock.recv(1)
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() <= before


def test_a_misspelt_toxic_is_refused(echo: int) -> None:
    with pytest.raises(TypeError, match="latncy"):
        ToxicProxy(echo, latncy=1)
