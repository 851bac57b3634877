"""What a test may do to a component, for each of them and whichever provider it comes from."""

from __future__ import annotations

import socket
import struct
import urllib.request
from collections.abc import Callable

import pytest

from tests.providers import NAMES, Component, ComponentError

Own = Callable[[str], Component]


@pytest.mark.parametrize("name", NAMES)
def test_a_killed_server_is_gone_and_comes_back_at_the_same_address(own_component: Own, name: str) -> None:
    server = own_component(name)
    url = server.url
    server.kill()
    assert not server.alive() and not server.ready()
    server.restart()
    assert server.alive() and server.ready()
    assert server.url == url


@pytest.mark.parametrize("name", NAMES)
def test_a_stopped_server_comes_back_at_the_same_address(own_component: Own, name: str) -> None:
    server = own_component(name)
    url = server.url
    server.stop()
    assert not server.alive() and not server.ready()
    server.restart()
    assert server.ready() and server.url == url


@pytest.mark.parametrize("name", NAMES)
def test_a_paused_server_takes_connections_and_says_nothing(own_component: Own, name: str) -> None:
    server = own_component(name)
    server.pause()
    with socket.create_connection(("127.0.0.1", server.port), 60):
        assert server.alive() and not server.ready()
    server.resume()
    server.wait_ready()


@pytest.mark.parametrize("name", NAMES)
def test_a_proxy_stands_in_front_of_the_server(own_component: Own, name: str) -> None:
    server = own_component(name)
    with server.through() as link:
        assert link.url == server.url.replace(str(server.port), str(link.port))
        assert type(server).probe(link.port), "it is reached through the proxy"  # type: ignore[attr-defined]
        assert link.passed > 0
        link.set(refuse=True)
        assert not type(server).probe(link.port)  # type: ignore[attr-defined]
        assert server.ready(), "others are not concerned"


def test_kafka_tells_clients_behind_a_proxy_to_come_back_through_it(own_component: Own) -> None:
    kafka = own_component("kafka")
    assert _named_broker(kafka.port) == kafka.port
    with kafka.through() as link:
        assert _named_broker(link.port) == link.port


def test_redis_keeps_what_it_acknowledged_through_a_kill(own_component: Own) -> None:
    redis = own_component("redis")
    assert _redis(redis, b"SET word kept") == b"+OK"
    redis.kill()
    redis.restart()
    assert _redis(redis, b"GET word") == b"$4"


def test_the_registry_keeps_its_schemas_through_a_kill(own_component: Own) -> None:
    registry = own_component("registry")
    body = b'{"schema": "\\"string\\""}'
    assert _http("POST", f"{registry.url}/subjects/words-value/versions", body) == b'{"id": 1}'
    registry.kill()
    registry.restart()
    assert _http("GET", f"{registry.url}/subjects") == b'["words-value"]'


def test_a_shared_server_may_not_be_killed(redis: Component) -> None:
    assert _redis(redis, b"PING") == b"+PONG"
    with pytest.raises(ComponentError, match="own_component"):
        redis.kill()


def test_a_server_that_dies_at_its_start_shows_its_log(own_component: Own) -> None:
    redis = own_component("redis")
    with pytest.raises(ComponentError, match=r"(?s)redis ended while starting.*Ready to accept"):
        redis.kill()
        redis.wait_ready()


def _named_broker(port: int) -> int:
    """The port of the first broker that Kafka's metadata, version 1, names."""
    request = struct.pack(">hhihi", 3, 1, 7, -1, 0)
    with socket.create_connection(("127.0.0.1", port), 60) as sock, sock.makefile("rb") as stream:
        sock.sendall(struct.pack(">i", len(request)) + request)
        stream.read(4 + 4 + 4 + 4)  # length, correlation, number of brokers, node
        stream.read(*struct.unpack(">h", stream.read(2)))
        return int(struct.unpack(">i", stream.read(4))[0])


def _redis(redis: Component, command: bytes) -> bytes:
    """The first line of the answer to an inline command."""
    with socket.create_connection(("127.0.0.1", redis.port), 60) as sock, sock.makefile("rb") as stream:
        sock.sendall(command + b"\r\n")
        return stream.readline().strip()


def _http(method: str, url: str, body: bytes | None = None) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, body, method=method), timeout=60) as response:
        return bytes(response.read())
