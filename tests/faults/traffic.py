"""Events that keep coming while a test does something to the parts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from pyrunner.client.pending import CallError

from .rig import Rig


@contextmanager
def publishing(pod: Rig, *, batch: int = 200, pause: float = 0.1) -> Iterator[None]:
    """Publishes by this pod, batch after batch, whatever becomes of its bridge. Fifty keys, numbers from 0 on."""
    over = threading.Event()

    def publish() -> None:
        begin = 0
        while not over.wait(pause):
            with suppress(
                CallError
            ):  # refused, or nobody knows: these were attempted, and their ids are not used again
                pod.publish({"id": f"p{n % 50}-{n}", "n": n} for n in range(begin, begin + batch))
            begin += batch

    publisher = threading.Thread(target=publish, daemon=True)
    publisher.start()
    try:
        yield
    finally:
        over.set()
        publisher.join(90)
        assert not publisher.is_alive()
