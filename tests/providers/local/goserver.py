"""Servers that are Go modules: their versions stand in servers/go.mod, apart from what the product depends on."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..cache import cached
from ..component import ComponentError
from ..needs import program, run

_SERVERS = Path(__file__).parent / "servers"


def nats() -> Path:
    """nats-server, whose program is the module itself."""
    return _built("nats-server", "github.com/nats-io/nats-server/v2")


def versitygw() -> Path:
    """The Versity S3 gateway."""
    return _built("versitygw", "github.com/versity/versitygw", "/cmd/versitygw")


def _built(name: str, module: str, package: str = "") -> Path:
    """The program `name` made of `package` in `module`, in the version that servers/go.mod says."""
    version = re.search(
        rf"^(?:require)?\s*{re.escape(module)} (\S+)", (_SERVERS / "go.mod").read_text(), re.M
    )
    if not version:
        raise ComponentError(f"{module} is not in {_SERVERS / 'go.mod'}: run go get {module} there")

    def make(folder: Path) -> None:
        go = program("go", ["golang-go"])
        env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false", "GOWORK": "off"}
        build = [go, "build", "-trimpath", "-ldflags", "-s -w", "-o", str(folder / name), module + package]
        run(build, f"building {name}", cwd=_SERVERS, env=env)

    return cached(f"{name}-{version[1]}", make) / name
