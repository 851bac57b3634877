"""A server as a container."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from .. import probes
from ..component import Component, ComponentError
from ..leash import LEASH
from ..ports import free_port
from ..reaper import remove_container
from . import engine

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer


class ContainerComponent(Component):
    """What all containers share; each kind names its official image and how that is told its settings.

    The image is overridden by DS_IMAGE_<NAME>; with DS_PULL=never it must be there already.
    """

    image: str
    inner_port: int
    probe: probes.Probe

    def __init__(self) -> None:
        self.port = 0
        self._container: DockerContainer | None = None
        self._held = ""

    def environment(self) -> Mapping[str, str]:
        return {}

    def command(self) -> Sequence[str]:
        """What follows the image's own entry point; nothing for the image's default."""
        return ()

    def ports(self) -> Mapping[int, int]:
        """Ports of this machine by ports in the container. Fixed ones: those that an engine chooses change at a restart."""
        return {self.inner_port: self.port}

    def after_start(self) -> None:
        """What needs the server up, once, before anybody uses it."""

    def start(self) -> Self:
        self.port = free_port()
        try:
            self._create()
            self.wait_ready()
            self.after_start()
        except BaseException:
            self.close()
            raise
        return self

    def ready(self) -> bool:
        return type(self).probe(self.port)

    def alive(self) -> bool:
        return self._state() in ("running", "paused", "restarting")

    def stop(self) -> None:
        if self._state() in ("running", "paused"):
            self.resume()
            self._inner().stop(timeout=int(self.patience))

    def kill(self) -> None:
        if self._state() in ("running", "paused"):
            self._inner().kill()
            self._inner().wait()

    def restart(self) -> None:
        self.stop()
        self._inner().start()
        self.wait_ready()

    def pause(self) -> None:
        if self._state() == "running":
            self._inner().pause()

    def resume(self) -> None:
        if self._state() == "paused":
            self._inner().unpause()

    def close(self) -> None:
        if self._held:
            remove_container(self._held)
            LEASH.forget("container", self._held)
        self._held, self._container = "", None

    def log(self) -> str:
        return self._inner().logs().decode(errors="replace") if self._container else ""

    def _create(self) -> None:
        address = engine.address() or ""
        os.environ["DOCKER_HOST"] = address
        # Its own reaper is one more image to pull, and ours does the same work.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer

        container = DockerContainer(os.environ.get(f"DS_IMAGE_{self.name.upper()}") or self.image)
        _fetch(container, self.name)
        # A name of ours, so that the reaper knows it before it exists.
        name = f"ds-{self.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._held = f"{address} {name}"
        LEASH.hold("container", self._held)
        container.with_name(name).with_envs(**self.environment())
        if self.command():
            container.with_command(list(self.command()))
        published: dict[str, Any] = {
            f"{inner}/tcp": ("127.0.0.1", outer) for inner, outer in self.ports().items()
        }
        container.ports = published
        self._container = container.start()

    def _inner(self) -> Any:
        assert self._container is not None, f"{self.name} is not started"
        return self._container.get_wrapped_container()

    def _state(self) -> str:
        if self._container is None:
            return "absent"
        self._inner().reload()
        return str(self._inner().status)


def _fetch(container: DockerContainer, name: str) -> None:
    """Sees to it that the engine has the image."""
    from docker.errors import DockerException, ImageNotFound  # type: ignore[import-untyped]

    image, images = container.image, container.get_docker_client().client.images
    try:
        images.get(image)
    except ImageNotFound:
        advice = (
            f"Name another by DS_IMAGE_{name.upper()}, or set DS_PROVIDER=process to do without containers."
        )
        if os.environ.get("DS_PULL") == "never":
            raise ComponentError(f"{name}: there is no image {image}, and DS_PULL=never. {advice}") from None
        try:
            images.pull(image)
        except DockerException as error:
            raise ComponentError(f"{name}: the image {image} cannot be pulled: {error}. {advice}") from error
