"""Is there a container engine, and may it be used?"""

from __future__ import annotations

import functools
import http.client
import os
from pathlib import Path

from ..reaper import EngineConnection


@functools.cache
def address() -> str | None:
    """The address of an engine that answers and can publish ports on this machine's loopback; None when there is none.

    An engine on another machine is no use to tests that dial 127.0.0.1.
    """
    return next((one for one in _candidates() if _is_here(one) and answers(one)), None)


def _candidates() -> list[str]:
    named = os.environ.get("DOCKER_HOST")
    if named:
        return [named]
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    places = [Path("/var/run"), Path.home() / ".docker/run", Path(runtime)]
    return [f"unix://{place}/docker.sock" for place in places if (place / "docker.sock").exists()]


def _is_here(engine: str) -> bool:
    scheme, _, place = engine.partition("://")
    return scheme == "unix" or (scheme == "tcp" and place.rpartition(":")[0] in ("127.0.0.1", "localhost"))


def answers(engine: str) -> bool:
    """Whether the engine at that address is up."""
    connection = EngineConnection(engine, timeout=15)
    try:
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
