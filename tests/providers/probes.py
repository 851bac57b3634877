"""Is it ready? One exchange of each server's own protocol, without a client library."""

from __future__ import annotations

import http.client
import socket
import struct
from collections.abc import Callable

Probe = Callable[[int], bool]


def _answers(exchange: Callable[[socket.socket], bool]) -> Probe:
    """`exchange` on a new connection; what cannot be reached, is cut or says nothing is not ready."""

    def probe(port: int) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as sock:
                sock.settimeout(5)
                return exchange(sock)
        except (OSError, EOFError, struct.error):
            return False

    return probe


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _kafka(sock: socket.socket) -> bool:
    """Metadata, version 1, of no topic: a broker that has joined its controller names at least itself."""
    request = struct.pack(">hhihi", 3, 1, 1, -1, 0)
    sock.sendall(struct.pack(">i", len(request)) + request)
    reply = _exactly(sock, struct.unpack(">i", _exactly(sock, 4))[0])
    correlation, brokers = struct.unpack_from(">ii", reply)
    return bool(correlation == 1 and brokers >= 1)


def _nats(sock: socket.socket) -> bool:
    greeting = sock.recv(8192)
    if not greeting.startswith(b"INFO ") or b'"jetstream":true' not in greeting:
        return False
    sock.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
    return b"PONG" in sock.recv(4096)


def _redis(sock: socket.socket) -> bool:
    """PING: while a data set is loaded, the answer is an error."""
    sock.sendall(b"PING\r\n")
    return sock.recv(64).startswith(b"+PONG")


def _postgres(sock: socket.socket) -> bool:
    """A start-up message: 'R' asks for authentication or grants it, 'E' says that the server is starting."""
    parameters = b"user\0test\0database\0test\0\0"
    sock.sendall(struct.pack(">ii", len(parameters) + 8, 196608) + parameters)
    return _exactly(sock, 1) == b"R"


def _http(path: str) -> Probe:
    def probe(port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


kafka, nats, redis, postgres = _answers(_kafka), _answers(_nats), _answers(_redis), _answers(_postgres)
s3, registry = _http("/"), _http("/subjects")
