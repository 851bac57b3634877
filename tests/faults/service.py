"""A pod that serves over HTTP: a bridge, a runner with workers, and the load that asks it."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pyrunner.audit.pod import free_port
from tests.httpload.run import Load, loading

from .rig import wait_until
from .watch import WatchedRig

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{{{name: rig}}}}
spec:
  model: rig_science:{{model}}
  commands:
    - {{{{name: serve-api, host: "{host}", port: {port}, grpc_port: {grpc_port}, workers: {{workers}}, deadline: {{deadline}}{keys}}}}}
"""
ROW, ANSWER = '{"id":"a-{n}","n":{n}}', '{"id":"a-{n}","value":{twice}}'  # what the models of science.py do
PROTOCOLS = ("h1", "h2c", "grpc")  # that a drain is tested with


class Service(WatchedRig):
    """One bridge with a front, and its runner. `keys` are further keys of the command, as in `, request_timeout: 2s`."""

    def __init__(
        self,
        folder: Path,
        science: str,
        *,
        loader: Path,
        host: str = "127.0.0.1",
        keys: str = "",
        **settings: Any,
    ) -> None:
        self.http_port, self.grpc_port = free_port(), free_port()
        self._loader = loader
        keys = keys.replace("{", "{{").replace("}", "}}")  # the rig fills in the rest
        settings.setdefault(
            "program", PROGRAM.format(host=host, port=self.http_port, grpc_port=self.grpc_port, keys=keys)
        )
        super().__init__(folder, science, commands=("serve-api",), **settings)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/predict"

    def start(self) -> Service:
        """Both parts, until rows are taken."""
        self.start_bridge()
        self.start_runner()
        self.await_ready()
        return self

    def start_runner(self, *, port: int | None = None, command_name: str = "serve-api") -> None:
        self.await_bridge()
        command = [
            sys.executable, "-m", "pyrunner.cli", "serve-api", "--command", command_name,
            "--bridge", f"tcp://127.0.0.1:{port or self.port}", "--token-file", str(self.token),
        ]  # fmt: skip
        self.runner = self._spawn(command, 1, {})

    def start_alone(self) -> None:
        """`ds-runner serve-api` as on a laptop, its bridge within; it is the runner here."""
        self.runner = self._spawn([sys.executable, "-m", "pyrunner.cli", "serve-api"], 1, {})
        self.await_ready()

    def await_ready(self) -> None:
        wait_until(self.is_ready, seconds=120, what="the front to be ready")

    def is_ready(self) -> bool:
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    # -- asking ----------------------------------------------------------------------------------------------------

    def get(self, path: str) -> tuple[int, Any]:
        return self._ask("GET", path)

    def post(
        self, rows: object, *, headers: Mapping[str, str] | None = None, seconds: float = 60
    ) -> tuple[int, Any]:
        """Status and answer of rows, as JSON, on a connection of their own."""
        return self._ask("POST", "/predict", json.dumps(rows), headers or {}, seconds)

    def _ask(
        self, method: str, path: str, body: str | None = None, headers: Mapping[str, str] | None = None, seconds: float = 60
    ) -> tuple[int, Any]:  # fmt: skip
        link = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=seconds)
        try:
            link.request(method, path, body, headers or {})
            answer = link.getresponse()
            text = answer.read()
        finally:
            link.close()
        return answer.status, json.loads(text) if text.startswith((b"{", b"[")) else text.decode()

    def load(self, *, seconds: float = 600, **options: object) -> AbstractContextManager[Load]:
        """Clients that ask for rows of their own, 64 unless told, and announce 500 answers."""
        options = {"announce": 500, "body": ROW, "want": ANSWER, **options}
        url = f"grpc://127.0.0.1:{self.grpc_port}/rig" if options.get("protocol") == "grpc" else self.url
        return loading(self._loader, url, seconds=seconds, **options)

    # -- what it says ----------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return json.loads(self.call("status"))["commands"]["serve-api"]  # type: ignore[no-any-return]

    def queued(self) -> float:
        """Rows that wait or are being scored."""
        return self.metric("ds_http_queue_rows")


class Posted(threading.Thread):
    """One request on a thread of its own, to be asked for its answer later."""

    def __init__(self, service: Service, rows: object, *, seconds: float = 300) -> None:
        super().__init__(daemon=True)
        self._service, self._rows, self._seconds = service, rows, seconds
        self._answer: tuple[int, Any] | BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._answer = self._service.post(self._rows, seconds=self._seconds)
        except OSError as error:
            self._answer = error

    def answer(self, seconds: float = 300) -> tuple[int, Any]:
        self.join(seconds)
        assert isinstance(self._answer, tuple), f"no answer to {self._rows}: {self._answer!r}"
        return self._answer
