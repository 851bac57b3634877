"""Which provider a component comes from."""

from __future__ import annotations

import importlib.util
import os
import sys

from . import containers, local
from .component import Component, ComponentError
from .containers import engine

NAMES = tuple(local.KINDS)


def component(name: str) -> Component:
    """The component `name`, not started yet. The registry's stand-in is ours and has no image: always a process."""
    if name not in NAMES:
        raise ComponentError(f"there is no component {name!r}: take one of {', '.join(NAMES)}")
    if provider() == "container" and name in containers.KINDS:
        return containers.KINDS[name]()
    return local.KINDS[name]()


def provider() -> str:
    """`process` or `container`: what DS_PROVIDER says, else containers where an engine answers."""
    wanted = os.environ.get("DS_PROVIDER") or "auto"
    if wanted not in ("auto", "process", "container"):
        raise ComponentError(f"DS_PROVIDER={wanted}: take process or container, or leave it out")
    if wanted == "process":
        return wanted
    obstacle = _obstacle()
    if obstacle and wanted == "container":
        raise ComponentError(f"DS_PROVIDER=container, but {obstacle}")
    return "process" if obstacle else "container"


def _obstacle() -> str | None:
    """Why there are no containers here."""
    if not engine.address():
        return "no container engine on this machine answers: start one, or name its socket by DOCKER_HOST=unix://..."
    if not importlib.util.find_spec("testcontainers"):
        return f"{sys.executable} has no testcontainers: run make setup"
    return None
