"""Real brokers and databases for tests: containers where an engine answers, otherwise local processes.

    with providers.component("kafka") as kafka:     # started, on a free port of loopback, with data of its own
        ...kafka.url, kafka.kill(), kafka.restart(), kafka.pause()...

The tests do not know which of the two they got; `DS_PROVIDER=process` or `container` decides it. Nothing outlives the
process that started it, even when that is killed.
"""

from .choice import NAMES, component
from .component import Component, ComponentError
from .together import Started, start_all

__all__ = ["NAMES", "Component", "ComponentError", "Started", "component", "start_all"]
