"""`predict_one(event)`: the scorer calls the method once an event and hands over the list of answers."""

from __future__ import annotations

from typing import ClassVar

from pyrunner.containers.list_ import ListContainer


class OneContainer(ListContainer):
    name: ClassVar[str] = "one"


CONTAINER = OneContainer
