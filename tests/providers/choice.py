"""Which provider a component comes from."""

from __future__ import annotations

from . import local
from .component import Component, ComponentError

NAMES = tuple(local.KINDS)


def component(name: str) -> Component:
    """The component `name`, not started yet."""
    if name not in NAMES:
        raise ComponentError(f"there is no component {name!r}: take one of {', '.join(NAMES)}")
    return local.KINDS[name]()
