"""pytest fixtures: `kafka`, `nats`, `redis`, `postgres`, `s3` and `registry`, shared; `own_component`, for oneself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from .choice import component
from .component import Component, ComponentError, Shared


@pytest.fixture(scope="session")
def _shared_component() -> Iterator[Callable[[str], Component]]:
    """Starts each name once a session; with DS_PROVIDERS it is there already."""
    given = os.environ.get("DS_PROVIDERS")
    urls = json.loads(Path(given).read_text()) if given else {}
    with ExitStack() as started:

        def find(name: str) -> Component:
            if given and name not in urls:
                raise ComponentError(
                    f"DS_PROVIDERS={given} has no {name!r}: name it in `python -m tests.providers run`"
                )
            url = urls[name]["url"] if given else started.enter_context(component(name)).url
            return Shared(name, url)

        yield find


def _session(name: str) -> Callable[[Callable[[str], Component]], Component]:
    @pytest.fixture(scope="session", name=name)
    def shared(_shared_component: Callable[[str], Component]) -> Component:
        return _shared_component(name)

    return shared


kafka, nats, redis, postgres, s3, registry = map(
    _session, ("kafka", "nats", "redis", "postgres", "s3", "registry")
)


@pytest.fixture
def own_component() -> Iterator[Callable[[str], Component]]:
    """Starts components that belong to the test alone: to be killed, paused, stopped."""
    with ExitStack() as started:
        yield lambda name: started.enter_context(component(name))
