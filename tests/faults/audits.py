"""`ds-runner audit` as a user runs it, for tests: its ledger, its exit code, and a row in the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.providers.component import Component

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: theirs}}
spec:
  model: nobody.imports:ThisClass
  connections:
    events: {{url: "{url}", settings: {settings}}}
  streams:
    numbers: {{connection: events}}
    answers: {{connection: events}}
  commands:
    - {{name: score-stream, input: numbers, output: answers, workers: 2, guarantee: {guarantee}}}
"""


@dataclass(frozen=True)
class Audit:
    """What the command said."""

    code: int
    ledger: dict[str, Any]  # of --json; empty without a verdict
    said: str  # on standard error

    def lost(self) -> int:
        return int(self.ledger["lost"]["count"])

    def require(self, **cells: object) -> None:
        """The promise was kept, and these cells are so."""
        assert self.code == 0, f"{self.said}\n{json.dumps(self.ledger, indent=1)}"
        found = {name: self.ledger[name] for name in cells}
        assert found == cells, self.ledger


def program(url: str, guarantee: str = "at-least-once", settings: Mapping[str, object] | None = None) -> str:
    """A user's program whose route is audited."""
    return PROGRAM.format(url=url, guarantee=guarantee, settings=json.dumps(settings or {}))


@dataclass
class Auditor:
    """Runs audits in a folder, and has their rows written."""

    folder: Path
    record: Callable[..., None]

    def run(
        self,
        *options: str,
        program: str | None = None,
        broker: Component | None = None,
        seconds: float = 540,
        environment: Mapping[str, str] | None = None,
    ) -> Audit:
        """On the program's route, or the embedded broker's; with a `broker` that may be killed."""
        where = ["--embedded"]
        if program is not None:
            (self.folder / "program.yaml").write_text(program)
            where = ["--program", str(self.folder / "program.yaml")]
        with _in_reach(broker, self.folder) if broker else nullcontext(()) as reach:
            done = subprocess.run(
                [sys.executable, "-m", "pyrunner.cli", "audit", "--json", *where, *options, *reach],
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                capture_output=True,
                text=True,
                timeout=seconds,
                check=False,
            )
        print(done.stdout, done.stderr)
        audit = Audit(done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr)
        self.record(**_row(audit.ledger))
        return audit


def _row(ledger: Mapping[str, Any]) -> dict[str, object]:
    if not ledger:
        return {}
    return {
        "seed": ledger["seed"], "kills": sum(ledger["done"].values()), "acked": ledger["acknowledged"],
        "out": ledger["out"], "dead": ledger["dead"], "LOST": ledger["lost"]["count"],
        "DUP": ledger["duplicates"], "WRONG": ledger["wrong"]["count"],
        "stall": round(ledger["longest_stall_seconds"], 1), "p95": round(ledger["recovery_p95_seconds"], 1),
        "RSS": ledger["peak_rss_bytes"]["bridge"] >> 20,
    }  # fmt: skip


@contextmanager
def _in_reach(broker: Component, folder: Path) -> Iterator[list[str]]:
    """Options by which the command kills and starts a server of this process: it asks through one pipe, and is told through
    another when it is done."""
    asked, told = folder / "asked", folder / "told"
    for pipe in (asked, told):
        os.mkfifo(pipe)

    def serve() -> None:
        while (verb := asked.read_text().strip()) != "end":
            getattr(broker, verb)()
            told.write_text("done\n")

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    try:
        ask = f"echo {{}} > {asked} && grep -q done {told}"
        yield ["--broker-kill", ask.format("kill"), "--broker-start", ask.format("restart")]
    finally:
        asked.write_text("end\n")
        server.join(60)
        for pipe in (asked, told):
            pipe.unlink()
