"""PostgreSQL, from the machine's packages."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
from collections.abc import Sequence

from .. import probes
from ..component import ComponentError
from ..needs import program
from ..settings import POSTGRES
from .process import ProcessComponent

_PACKAGES = ["postgresql"]
_FOLDERS = [
    "/usr/lib/postgresql/*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
]

_MAKE_CLUSTER = """set -e
"$0" -D "$2" -U test -A trust --locale=C -E UTF8 --no-sync
echo "CREATE DATABASE test" | "$1" --single -D "$2" postgres
"""


class Postgres(ProcessComponent):
    name = "postgres"
    probe = staticmethod(probes.postgres)
    stop_signal = signal.SIGINT  # "fast": ends the clients' sessions, writes a checkpoint

    @property
    def url(self) -> str:
        return f"postgres://test@127.0.0.1:{self.port}/test"

    def prepare(self) -> None:
        """A new cluster with user and database `test`, without passwords on loopback."""
        self.user = _other_user() if os.geteuid() == 0 else None  # it refuses to run as root
        if self.user:
            self.folder.chmod(0o711)
            shutil.chown(self.folder, self.user, self.user)
        data = str(self.folder / "data")
        self.run_before(
            "/bin/sh", "-c", _MAKE_CLUSTER, server_program("initdb"), server_program("postgres"), data
        )

    def command(self) -> Sequence[str]:
        settings = {
            **POSTGRES,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
        }
        flags = [flag for key, value in settings.items() for flag in ("-c", f"{key}={value}")]
        return [server_program("postgres"), "-D", str(self.folder / "data"), *flags]


def server_program(name: str) -> str:
    return program(name, _PACKAGES, [f"{folder}/{name}" for folder in _FOLDERS])


def _other_user() -> str:
    for user in ("postgres", "nobody"):
        try:
            pwd.getpwnam(user)
        except KeyError:
            continue
        return user
    raise ComponentError("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
