"""Redis, from the machine's packages."""

from __future__ import annotations

from collections.abc import Sequence

from .. import probes
from ..needs import program
from ..settings import REDIS
from .process import ProcessComponent


class Redis(ProcessComponent):
    name = "redis"
    probe = staticmethod(probes.redis)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        here = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        return [server(), *here, *REDIS]


def server() -> str:
    return program("redis-server", ["redis-server"])
