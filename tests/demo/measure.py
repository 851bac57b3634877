"""Figures of running processes: CPU from /proc, counts and times from a bridge's /metrics."""

from __future__ import annotations

import os
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Metrics:
    """One scrape: every sample by name, with its labels."""

    samples: tuple[tuple[str, dict[str, str], float], ...]

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name that have these labels."""
        return sum(value for _, value in self._matching(name, labels))

    def quantile(self, q: float, since: Metrics, name: str, **labels: str) -> float:
        """Below which value the share `q` lies of what a histogram counted since then, in proportion within its bucket."""
        counts = self._cumulative(name, labels)
        before = since._cumulative(name, labels)
        lower = below = 0.0
        rank = q * max((n - before.get(bound, 0.0) for bound, n in counts.items()), default=0.0)
        for bound in sorted(counts):
            count = counts[bound] - before.get(bound, 0.0)
            if count >= rank and count > below:
                return lower + (bound - lower) * (rank - below) / (count - below)
            lower, below = bound, count
        return lower

    def _cumulative(self, name: str, labels: dict[str, str]) -> dict[float, float]:
        counts: dict[float, float] = {}
        for own, value in self._matching(f"{name}_bucket", labels):
            bound = float(own["le"])
            counts[bound] = counts.get(bound, 0.0) + value
        return counts

    def _matching(self, name: str, labels: dict[str, str]) -> Iterator[tuple[dict[str, str], float]]:
        for found, own, value in self.samples:
            if found == name and labels.items() <= own.items():
                yield own, value


def parse(text: str) -> Metrics:
    """The samples of a page in Prometheus' text format."""
    families = text_string_to_metric_families(text)
    return Metrics(tuple((s.name, s.labels, s.value) for family in families for s in family.samples))


def scrape(address: str) -> Metrics:
    """What /metrics says now."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=60) as answer:
        return parse(answer.read().decode())


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of these processes so far, user and system; one that has ended counts nothing. Linux only."""
    ticks = sum(int(ticks) for pid in pids for ticks in _stat(pid)[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(root: int) -> list[int]:
    """The processes below this one. Linux only."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        if stat := _stat(int(folder.name)):
            children.setdefault(int(stat[1]), []).append(int(folder.name))
    found = list(children.get(root, []))
    for pid in found:
        found += children.get(pid, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty when it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def wait_for(what: str, condition: Callable[[], bool], seconds: float) -> None:
    """Return when the condition holds. Raises TimeoutError with its name when it does not in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what}: not after {seconds:.0f} s")
        time.sleep(0.05)
