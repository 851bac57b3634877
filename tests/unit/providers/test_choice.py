"""Which provider, which image, and what is said when it cannot be had."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.providers import ComponentError, component
from tests.providers.choice import provider
from tests.providers.containers import KINDS, engine
from tests.providers.needs import program


class _Engine(BaseHTTPRequestHandler):
    """As much of an engine as answers a ping, has no image and can pull none."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        ping, version = self.path == "/_ping", self.path == "/version"
        body = b'{"ApiVersion": "1.41"}' if version else b"OK" if ping else b'{"message": "No such image"}'
        self.send_response(200 if ping or version else 404)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    engine.address.cache_clear()
    yield
    engine.address.cache_clear()


@pytest.fixture
def pretended_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What a pretended engine was asked."""
    asked: list[str] = []
    server = HTTPServer(("127.0.0.1", 0), type("Handler", (_Engine,), {"asked": asked}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    monkeypatch.delenv("DS_PROVIDER", raising=False)
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    monkeypatch.delenv("DS_PROVIDER", raising=False)


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_there_are_processes() -> None:
    assert provider() == "process"


@pytest.mark.usefixtures("pretended_engine")
def test_with_an_engine_there_are_containers_but_for_the_registry_that_has_no_image() -> None:
    assert provider() == "container"
    assert type(component("redis")) is KINDS["redis"]
    assert component("registry").name not in KINDS


@pytest.mark.usefixtures("pretended_engine")
def test_processes_may_be_wanted_where_an_engine_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_PROVIDER", "process")
    assert type(component("redis")) is not KINDS["redis"]


@pytest.mark.usefixtures("no_engine")
def test_containers_that_are_wanted_without_an_engine_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_PROVIDER", "container")
    with pytest.raises(
        ComponentError, match=r"DS_PROVIDER=container, but no container engine .* DOCKER_HOST"
    ):
        component("redis")


def test_an_unknown_provider_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DS_PROVIDER", "podman")
    with pytest.raises(ComponentError, match="DS_PROVIDER=podman: take process or container"):
        component("redis")


def test_an_engine_on_another_machine_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2375")
    assert engine.address() is None


@pytest.mark.parametrize("name", KINDS)
def test_the_environment_names_another_image(
    name: str, pretended_engine: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"DS_IMAGE_{name.upper()}", f"mirror.example/{name}:ours")
    monkeypatch.setenv("DS_PULL", "never")
    with pytest.raises(ComponentError, match=f"no image mirror.example/{name}:ours, and DS_PULL=never"):
        component(name).start()
    assert any(f"mirror.example/{name}:ours" in request for request in pretended_engine)
    assert not any(request.startswith("POST") for request in pretended_engine), "nothing is pulled or created"


@pytest.mark.usefixtures("pretended_engine")
def test_an_image_that_cannot_be_pulled_says_what_else_can_be_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DS_PULL", raising=False)
    monkeypatch.delenv("DS_IMAGE_REDIS", raising=False)
    with pytest.raises(
        ComponentError, match=r"redis:7.4 cannot be pulled.*DS_IMAGE_REDIS.*DS_PROVIDER=process"
    ):
        component("redis").start()


def test_a_missing_program_is_asked_for_by_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.providers.needs._may_install", lambda: False)
    with pytest.raises(
        ComponentError, match=r"no-such-program is not on the PATH.*apt-get install its-package"
    ):
        program("no-such-program", ["its-package"])


def test_a_taken_port_is_not_free() -> None:
    from tests.providers.ports import free_port

    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert all(free_port() != port for _ in range(50))


def test_the_nats_of_tests_is_the_one_that_the_bridge_embeds() -> None:
    root = Path(__file__).parents[3]
    versions = {
        re.search(r"nats-io/nats-server/v2 (\S+)", (root / path).read_text())[1]  # type: ignore[index]
        for path in ("go.mod", "tests/providers/local/servers/go.mod")
    }
    assert len(versions) == 1, versions
