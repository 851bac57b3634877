"""What a worker tells its parent: one JSON line a change, on a pipe of their own."""

from __future__ import annotations

import json
import os
from typing import Any

from pyrunner.client.sockets import raise_descriptor

_LONGEST = 2000  # characters of a text: six bytes each at most, far less than a pipe holds


class Reporter:
    """The worker's side. Losing the parent is not its business: the lifeline tells of that."""

    def __init__(self, inherited: int | None) -> None:
        self._descriptor = None if inherited is None else raise_descriptor(inherited)

    def tell(self, kind: str, **values: Any) -> None:
        if self._descriptor is None:
            return
        short = {
            name: value[-_LONGEST:] if isinstance(value, str) else value for name, value in values.items()
        }
        line = json.dumps({"kind": kind, **short}).encode() + b"\n"
        try:
            os.write(self._descriptor, line)
        except OSError:
            self._descriptor = None


class ReportReader:
    """The parent's side: never blocks, whatever a process that holds the other end does."""

    def __init__(self) -> None:
        self.descriptor, self.inherited = os.pipe()
        os.set_blocking(self.descriptor, False)
        self._pending = b""

    def started(self) -> None:
        """The worker has its end; ours of it is closed."""
        os.close(self.inherited)

    def read(self) -> tuple[list[dict[str, Any]], bool]:
        """The reports that are complete, and whether there may be more to come."""
        more = True
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except BlockingIOError:
                break
            if not data:
                more = False
                break
            self._pending += data
        *lines, self._pending = self._pending.split(b"\n")
        return [report for line in lines if (report := _parse(line))], more

    def close(self) -> None:
        os.close(self.descriptor)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        report = json.loads(line)
    except ValueError:
        return None
    return report if isinstance(report, dict) else None
