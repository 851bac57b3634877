"""Prometheus metrics of the workers, the user's own included, served by their parent.

Each worker writes to files in a shared folder, named by slot and not by pid: a worker that comes after a dead one goes on
counting where that ended, and the folder does not grow. The parent adds them up when it is asked. prometheus_client decides
at import whether it counts in files, so `count_in_files` comes before user code is imported.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_SECONDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)


def count_in_files(folder: Path, slot: str) -> None:
    """Make every metric of this process count in files of its slot. A forked child counts in a file of its own."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    from prometheus_client import values

    own = os.getpid()
    values.ValueClass = values.MultiProcessValue(lambda: slot if os.getpid() == own else f"{slot}-child")  # type: ignore[no-untyped-call]


class WorkerMetrics:
    """What a worker counts: a handful of additions a batch, nothing an event."""

    def __init__(self, program: str, command: str, registry: CollectorRegistry | None = None) -> None:
        from prometheus_client import REGISTRY, Counter, Gauge, Histogram

        names = ("program", "command")
        to = registry or REGISTRY

        def own(kind: Callable[..., Any], name: str, text: str, **more: Any) -> Any:
            return kind(name, text, names, registry=to, **more).labels(program, command)

        self.batches = own(Counter, "ds_py_batches_total", "Batches answered with a result.")
        self.events = own(Counter, "ds_py_events_total", "Events answered with a result, errors included.")
        self.returned = own(
            Counter, "ds_py_returned_batches_total", "Batches given back: the surroundings' fault."
        )
        self.links_lost = own(
            Counter, "ds_py_links_lost_total", "Connections to the bridge that ended while in use."
        )
        self.unsent = own(
            Counter, "ds_py_unsent_results_total", "Results dropped because their connection had ended."
        )
        self.score_seconds = own(
            Histogram,
            "ds_py_score_seconds",
            "Time to decode, predict and encode one batch.",
            buckets=_SECONDS,
        )
        self.connected = own(Gauge, "ds_py_connected", "Workers with a bridge.", multiprocess_mode="livesum")
        self._failed = Counter(
            "ds_py_failed_events_total", "Events that were not scored.", (*names, "kind", "code"), registry=to
        )
        self._unknown = Counter(
            "ds_py_unknown_fields_total",
            "Events with a field that their class does not name; a lower bound where most have it.",
            (*names, "field"),
            registry=to,
        )
        self._unknown_before: dict[str, int] = {}
        self._looking = threading.Lock()
        self._labels = (program, command)

    def failed(self, kind: str, code: str, count: int = 1) -> None:
        self._failed.labels(*self._labels, kind, code).inc(count)

    def unknown(self, fields: Mapping[str, int]) -> None:
        """Count what has been added since the last look."""
        with self._looking:
            for field, count in list(fields.items()):  # other threads may add to it
                if more := count - self._unknown_before.get(field, 0):
                    self._unknown.labels(*self._labels, field).inc(more)
                    self._unknown_before[field] = count


class ParentMetrics:
    """What the parent counts of its workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter

        self.deaths = Counter(
            "ds_py_worker_deaths_total", "Workers that died.", ("command", "cause"), registry=registry
        )
        self.starts = Counter(
            "ds_py_worker_starts_total", "Workers that were started.", ("command",), registry=registry
        )


def parent_registry(folder: Path) -> CollectorRegistry:
    """A registry that adds up the files of all workers."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry(support_collectors_without_names=True)
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    return registry


def forget_gauges(folder: Path, slots: Sequence[str]) -> None:
    """Dead workers are not live: drop the gauges that count only those alive."""
    for slot in slots:
        for file in folder.glob(f"gauge_live*_{slot}*.db"):
            file.unlink(missing_ok=True)


def serve(registry: CollectorRegistry, host: str, port: int) -> tuple[int, Callable[[], None]]:
    """Serve /metrics on a thread. Returns the port, which 0 leaves to the system, and what stops it."""
    from prometheus_client import start_http_server

    server, thread = start_http_server(port, addr=host, registry=registry)

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)

    return server.server_port, stop
