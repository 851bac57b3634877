"""What `up` shows while it runs: a live table on a terminal, a plain line now and then without one.

The figures are those of the bridge's `status`. A bridge that does not answer for a moment is shown as it last was.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from pyrunner.commands.console import note
from pyrunner.commands.shadow import sentence
from pyrunner.statuswatch import StatusWatch, settled

TABLE_SECONDS = 0.5
LINE_SECONDS = 5.0

COLUMNS = ("in", "scored", "rejected", "dead", "per s", "p50 ms", "p99 ms", "lag", "workers")


@dataclass
class Rates:
    """Events per second of each command, from two looks."""

    before: dict[str, tuple[float, int]] = field(default_factory=dict)

    def of(self, command: str, events: int, now: float) -> float:
        then, count = self.before.get(command, (now, events))
        self.before[command] = (now, events)
        return (events - count) / (now - then) if now > then else 0.0


def rows(status: dict[str, Any], rates: Rates, now: float) -> dict[str, list[str]]:
    """The table: for each command its cells, in the order of COLUMNS."""
    return {name: _cells(name, c, rates, now) for name, c in status.get("commands", {}).items()}


def line(table: dict[str, list[str]]) -> str:
    """The table in one line, without what is not known."""
    return "; ".join(f"{name}: {_said(cells)}" for name, cells in table.items())


def shadows(status: dict[str, Any]) -> list[str]:
    """A sentence for each command that has a shadow."""
    commands = status.get("commands", {})
    return [f"{name}: {sentence(c['shadow'])}" for name, c in commands.items() if c.get("shadow")]


def _said(cells: list[str]) -> str:
    return ", ".join(f"{c} {v}" for c, v in zip(COLUMNS, cells, strict=True) if v != "-")


def _cells(name: str, c: dict[str, Any], rates: Rates, now: float) -> list[str]:
    lag = c.get("lag", -1)
    return [
        f"{c.get('in', 0):,}",
        f"{c.get('scored', 0):,}",
        f"{c.get('rejected', 0):,}",
        f"{c.get('dead', 0):,}",
        f"{rates.of(name, settled(c), now):,.0f}",
        _ms(c.get("latency_p50_ms")),
        _ms(c.get("latency_p99_ms")),
        "-" if lag < 0 else f"{lag:,}",
        _workers(c),
    ]


def _workers(c: dict[str, Any]) -> str:
    """How many there are, and how many stand by; what the command waits for when it does not run."""
    workers = c.get("workers") or ()
    held = sum(bool(worker.get("standby")) for worker in workers)
    n = f"{len(workers) - held}" + (f" + {held}" if held else "")
    return f"{n}, {c['why']}" if c.get("why") else n


def _ms(value: float | None) -> str:
    return "-" if not value else f"{value:.1f}"


@contextmanager
def shown(bridge: str, token_file: Path) -> Iterator[None]:
    """Within, the board is shown, and logs go above it."""
    console, rates = Console(stderr=True), Rates()
    if not console.is_terminal:
        printer = _Printer()
        with StatusWatch(
            bridge, token_file, LINE_SECONDS, lambda s: printer(rows(s, rates, time.monotonic()), shadows(s))
        ):
            yield
        return
    with Live(
        console=console, auto_refresh=False
    ) as live:  # its stand-in for stderr keeps log lines above the table

        def draw(status: dict[str, Any]) -> None:
            table = _rendered(rows(status, rates, time.monotonic()))
            live.update(Group(table, *shadows(status)), refresh=True)

        with StatusWatch(bridge, token_file, TABLE_SECONDS, draw):
            yield


class _Printer:
    """Says a line when something happened since the last."""

    def __init__(self) -> None:
        self.last: dict[str, list[str]] = {}

    def __call__(self, table: dict[str, list[str]], more: Sequence[str] = ()) -> None:
        if any(cells[:4] != self.last.get(name, ["0"] * 4)[:4] for name, cells in table.items()):
            note("; ".join([line(table), *more]))
        self.last = table


def _rendered(table: dict[str, list[str]]) -> Table:
    drawn = Table(box=None, padding=(0, 1, 0, 0))
    drawn.add_column("", no_wrap=True, min_width=max(map(len, table), default=0))
    for name in COLUMNS[:-1]:
        drawn.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    drawn.add_column(COLUMNS[-1], no_wrap=True)  # the only one that a narrow terminal may cut
    for command, cells in table.items():
        drawn.add_row(command, *cells)
    return drawn
