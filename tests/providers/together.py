"""Several components at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from .choice import component
from .component import Component


class Started:
    """Components by name, closed together."""

    def __init__(self, components: dict[str, Component]) -> None:
        self.components = components

    def urls(self) -> dict[str, dict[str, str]]:
        """What a file that DS_PROVIDERS names holds."""
        return {name: {"url": one.url} for name, one in self.components.items()}

    def close(self) -> None:
        with ThreadPoolExecutor(max(1, len(self.components))) as pool:
            list(pool.map(Component.close, self.components.values()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def start_all(names: Sequence[str]) -> Started:
    """Starts what is named, side by side; when one fails, the others are closed and its error is raised."""
    started = Started({name: component(name) for name in dict.fromkeys(names)})
    with ThreadPoolExecutor(max(1, len(started.components))) as pool:
        starts = [pool.submit(one.start) for one in started.components.values()]
    failures = [error for start in starts if (error := start.exception())]
    if failures:
        started.close()
        raise failures[0]
    return started
