"""A ledger: one JSON line for the fate of each event of a replay.

    {"event": "departures/0/17", "outputs": [{...}], "model": "3"}
    {"event": "departures/0/18", "rejected": {"code": "...", "reason": "..."}, "model": "3"}
    {"event": "departures/0/19", "dead": {"code": "...", "reason": "...", "detail": ..., "attempts": 2}}

The bridge writes it (`ds-bridge run --ledger`), `ds-runner replay --output` keeps it, and the golden diff compares two of them by
event id.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrunner.errors import UserError

FATES = ("outputs", "rejected", "dead")


@dataclass(frozen=True)
class Fate:
    """What became of one event: `kind` is one of FATES, `value` what stands under it."""

    event: str
    kind: str
    value: Any
    model: str = ""
    code: str = ""  # hash of the code that answered, where it is known


def read_ledger(path: Path) -> dict[str, Fate]:
    """The fates of a ledger by event id, in the order of the file. A file that is no ledger is a UserError."""
    fates: dict[str, Fate] = {}
    for number, line in _lines(path):
        fate = _fate(line, f"{path}:{number}")
        if fate.event in fates:
            raise UserError(f"event {fate.event} is in the ledger twice", place=f"{path}:{number}")
        fates[fate.event] = fate
    return fates


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open(encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.strip():
                yield number, line


def _fate(line: str, place: str) -> Fate:
    try:
        entry = json.loads(line)
    except ValueError as e:
        raise UserError(f"not JSON: {e}", place=place) from None
    kinds = [k for k in FATES if k in entry] if isinstance(entry, dict) else []
    if len(kinds) != 1 or not isinstance(entry.get("event"), str):
        raise UserError(
            'not a line of a replay\'s ledger ({"event": ..., "outputs" or "rejected" or "dead": ...}). '
            "Make one with: ds-runner replay FILE --output LEDGER",
            place=place,
        )
    return Fate(entry["event"], kinds[0], entry[kinds[0]], str(entry.get("model") or ""))
