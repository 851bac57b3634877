"""Runs httpload from Python and reads its report."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyrunner.bridge import die_with_parent

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Spread:
    """Of times, in milliseconds."""

    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class Report:
    """What became of every request: `sent` is the sum of what was answered, lost and not taken."""

    sent: int
    answered: dict[int, int]  # by status
    lost: int  # sent, and not answered
    not_taken: int  # by the server's own word: HTTP/2
    refused: int  # connections: nothing was sent on them
    wrong: int  # status 200, and another answer than was wanted
    first: dict[str, str]  # the first of each that went wrong: lost, wrong, a status
    latency: dict[int, Spread]  # by status; of an open loop from the scheduled time
    lag: Spread | None  # of an open loop: how late it was sent
    stall_ms: float  # the longest time without an answer of status 200
    seconds: float
    rate: float  # answers of status 200 a second
    cpu_s: float  # the loader's own

    @classmethod
    def of(cls, said: dict[str, Any]) -> Report:
        spreads = {int(status): Spread(**spread) for status, spread in said.pop("latency").items()}
        lag = said.pop("lag")
        answered = {int(status): n for status, n in said.pop("answered").items()}
        return cls(**said, answered=answered, latency=spreads, lag=Spread(**lag) if lag else None)

    @property
    def ok(self) -> int:
        return self.answered.get(200, 0)

    def require_all_right(self, *, beside: tuple[int, ...] = ()) -> None:
        """Every request was answered, with 200 and the right answer, or with a status that may stand beside it."""
        assert self.ok > 0 and self.lost == self.wrong == 0, self
        assert set(self.answered) <= {200, *beside}, self


def build(folder: Path) -> Path:
    """The binary, compiled into a folder."""
    binary = folder / "httpload"
    subprocess.run(
        ["go", "build", "-buildvcs=false", "-o", binary, "./tests/httpload"],
        cwd=ROOT,
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
    )
    return binary


class Load:
    """Clients at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._report: Report | None = None

    def await_answers(self) -> None:
        """Until as many requests were answered as were to be announced."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.startswith("answered"), f"no load: {line}{self._process.communicate()}"

    def end(self) -> Report:
        """No more requests; those that were sent are waited for."""
        self._process.terminate()
        return self.report()

    def report(self, seconds: float = 120) -> Report:
        """When it has ended by itself, or was told to."""
        if self._report is None:
            out, err = self._process.communicate(timeout=seconds)
            assert self._process.returncode == 0, err
            self._report = Report.of(json.loads(out.splitlines()[-1]))
        return self._report


@contextmanager
def loading(binary: Path, url: str, *, seconds: float, **options: object) -> Iterator[Load]:
    """A load for at most so many seconds; `options` are the flags of httpload, as in `until_refused=True`. Ended with the block."""
    flags = [f"-{name.replace('_', '-')}={_text(value)}" for name, value in options.items()]
    process = subprocess.Popen(
        [binary, f"-url={url}", f"-seconds={seconds}", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent(),
    )  # fmt: skip
    load = Load(process)
    try:
        yield load
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=90)
            except (subprocess.TimeoutExpired, ValueError):
                process.kill()
                process.wait()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def load(binary: Path, url: str, *, seconds: float, **options: object) -> Report:
    """A whole load, and its report."""
    with loading(binary, url, seconds=seconds, **options) as running:
        return running.report(seconds + 120)
