"""What a test may do to a server, whoever runs it."""

from __future__ import annotations

import abc
import time
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit

from ..faults.proxy import ToxicProxy


class ComponentError(Exception):
    """A server cannot be had or does not do what was asked: the message says what to do about it."""


class Component(abc.ABC):
    """One real server with data of its own, on loopback.

    Its ports and data stay the same from `start` to `close`, through any number of `stop`, `kill` and `restart`. All
    methods block until what they say is true, and may be called from one thread at a time.
    """

    name: str
    port: int  # 0 until it is started
    patience: float = 180.0  # seconds until a server that is not ready is given up

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where clients connect, as a connection of program.yaml names it. Known once started."""

    @abc.abstractmethod
    def start(self) -> Self:
        """Starts the server on free ports with empty data, and waits until it serves."""

    @abc.abstractmethod
    def ready(self) -> bool:
        """Whether it answers a client now: one try, without waiting."""

    @abc.abstractmethod
    def alive(self) -> bool:
        """Whether its process runs (also paused)."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Ends it as an administrator does. Data and ports are kept."""

    @abc.abstractmethod
    def kill(self) -> None:
        """Ends it by SIGKILL: nothing is flushed, nobody is told. Data and ports are kept."""

    @abc.abstractmethod
    def restart(self) -> None:
        """Starts it again on the same ports with the same data; a running one is stopped first."""

    @abc.abstractmethod
    def pause(self) -> None:
        """Freezes it: connections stay open and nothing is answered."""

    @abc.abstractmethod
    def resume(self) -> None:
        """Ends a pause."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends it and removes its data."""

    @abc.abstractmethod
    def log(self) -> str:
        """What it has written so far."""

    def through(self, **toxics: Any) -> ToxicProxy:
        """A proxy in front of it, to be entered by `with`: clients of its `url` meet the toxics, others do not."""
        url = self.url.replace(f"127.0.0.1:{self.port}", "127.0.0.1:{port}")
        return ToxicProxy(*self.behind_proxy(), url=url, **toxics)

    def behind_proxy(self) -> tuple[int, int]:
        """The port that a proxy dials, and the one that it listens on (0 for any)."""
        return self.port, 0

    def wait_ready(self) -> None:
        """Waits until it serves; tells the end of its log when it died or takes too long."""
        deadline = time.monotonic() + self.patience
        while not self.ready():
            if not self.alive():
                raise ComponentError(f"{self.name} ended while starting. The end of its log:\n{self._tail()}")
            if time.monotonic() > deadline:
                raise ComponentError(
                    f"{self.name} is not ready after {self.patience:.0f} s. The end of its log:\n{self._tail()}"
                )
            time.sleep(0.05)

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-20:])

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Shared(Component):
    """A server that other tests use at the same time: it has an address, and nothing may be done to it."""

    def __init__(self, name: str, url: str) -> None:
        self.name, self._url = name, url
        self.port = urlsplit(url).port or 0

    @property
    def url(self) -> str:
        return self._url

    def _refuse(self) -> NoReturn:
        raise ComponentError(
            f"{self.name} is shared by all tests: take one by the fixture own_component instead"
        )

    def start(self) -> Self:
        self._refuse()

    def ready(self) -> bool:
        self._refuse()

    def alive(self) -> bool:
        self._refuse()

    def log(self) -> str:
        self._refuse()

    def stop(self) -> None:
        self._refuse()

    def kill(self) -> None:
        self._refuse()

    def restart(self) -> None:
        self._refuse()

    def pause(self) -> None:
        self._refuse()

    def resume(self) -> None:
        self._refuse()

    def close(self) -> None:
        self._refuse()

    def behind_proxy(self) -> tuple[int, int]:
        if self.name == "kafka":  # has one listener for one proxy
            self._refuse()
        return super().behind_proxy()
