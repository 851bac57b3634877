"""NATS with JetStream, built from its Go module."""

from __future__ import annotations

from collections.abc import Sequence

from .. import probes
from . import goserver
from .process import ProcessComponent


class Nats(ProcessComponent):
    name = "nats"
    probe = staticmethod(probes.nats)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return [
            str(goserver.nats()),
            "-a",
            "127.0.0.1",
            "-p",
            str(self.port),
            "-js",
            "-sd",
            str(self.folder / "data"),
        ]
