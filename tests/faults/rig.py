"""A pod on this machine whose parts can be killed (`pyrunner.audit.pod`), with a model of the test's own and one producer."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pyrunner.audit import Pod

from .auditor import Ledger

PASSWORD = "planted-pw-5f1c0a9e77"  # where a test gives a connection one

PROGRAM = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: rig}}
spec:
  model: rig_science:{model}
  connections:
    events: {{url: "embedded:"}}
  streams:
    numbers: {{connection: events, topic: numbers}}
    answers: {{connection: events, topic: answers}}
  commands:
    - {{name: score-stream, input: numbers, output: answers, workers: {workers}, deadline: {deadline}, order: {order}}}
"""


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll a condition up to a deadline; say what was awaited when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)


def leaks(text: str, token: str) -> list[str]:
    """The places in a log or in metrics that tell the token, a password, or the payload of an event or an answer."""
    pattern = "|".join([re.escape(token), re.escape(PASSWORD), r'\{\\*"id\\*": ?\\*"'])
    return [text[max(0, at.start() - 80) : at.end() + 80] for at in re.finditer(pattern, text)]


class Rig(Pod):
    """One pod in a folder, and its producer. `science` is the text of the model file, `model` the class in it."""

    def __init__(
        self,
        folder: Path,
        science: str,
        *,
        model: str = "Double",
        workers: int = 2,
        deadline: str = "5s",
        order: str = "key",
        environment: dict[str, str] | None = None,
        program: str = PROGRAM,
        commands: Sequence[str] = ("score-stream",),
    ) -> None:
        super().__init__(
            folder,
            commands=commands,
            environment={"PYTHONPATH": str(folder), "DS_LOG_LEVEL": "debug", **(environment or {})},
        )
        (folder / "rig_science.py").write_text(science)
        (folder / "program.yaml").write_text(
            program.format(model=model, workers=workers, deadline=deadline, order=order)
        )
        self.secret = self.token.read_text().strip()
        self.ledger = Ledger()
        self.poisons: set[int] = set()  # numbers that are planned to die
        self._after: dict[str, str] = {}

    def close(self) -> None:
        """End the parts; then no log, which were all at debug level, and no metric may have told a secret or a payload (T40)."""
        told = {"metrics": self.last_metrics()}
        super().close()
        shutil.rmtree(self.folder / "state", ignore_errors=True)
        told |= {log: self.log(log) for log in ("bridge", "runner")}
        found = {place: leaks(text, self.secret) for place, text in told.items() if text}
        assert not any(found.values()), found

    def last_metrics(self) -> str:
        """What a scraper got last; nothing of a bridge that is not there."""
        with contextlib.suppress(OSError, ValueError):
            return self.metrics()
        return ""

    # -- events --------------------------------------------------------------------------------------------------

    def publish(self, events: Iterator[dict[str, object]], *, batch: int = 500) -> None:
        """Publish all, batch by batch. A batch whose answer was lost was attempted and is published again under
        new ids, so that acknowledged ids are known to be stored."""
        pending = list(events)
        for start in range(0, len(pending), batch):
            chunk = pending[start : start + batch]
            attempt = 0
            while True:
                ids = [f"{event['id']}" if attempt == 0 else f"r{attempt}.{event['id']}" for event in chunk]
                self.ledger.attempted.update(ids)
                self.ledger.poisons.update(
                    id for id, event in zip(ids, chunk, strict=True) if event["n"] in self.poisons
                )
                records = [
                    [json.dumps({**event, "id": id}).encode(), id.rsplit("-", 1)[0].encode()]
                    for event, id in zip(chunk, ids, strict=True)
                ]
                try:
                    with self.control() as client:
                        client.call("publish", "numbers", records, deadline=60.0)
                except (OSError, EOFError, TimeoutError):
                    attempt += 1
                    time.sleep(0.05)
                    continue
                self.ledger.acknowledged.update(ids)
                break

    def collect(self) -> Ledger:
        """Read on in the output and the dead letters, to their ends."""
        for value in self._values("answers"):
            answer = json.loads(value)
            self.ledger.results.append((answer["id"], answer["value"]))
        self.ledger.dead.extend(json.loads(value)["id"] for value in self._values("numbers.dead"))
        return self.ledger

    def _values(self, stream: str) -> Iterator[bytes]:
        while True:
            records, self._after[stream] = self.call("tail", stream, self._after.get(stream, ""), 5000, 0)
            if not records:
                return
            yield from (record[4] for record in records)

    def status(self) -> dict[str, Any]:
        """What the bridge says of the command."""
        return json.loads(self.call("status"))["commands"]["score-stream"]  # type: ignore[no-any-return]

    def metrics(self) -> str:
        """The bridge's metrics, as a scraper gets them."""
        found = json.loads((self.folder / "state" / "bridge.json").read_text())
        with urllib.request.urlopen(f"http://{found['metrics']}/metrics", timeout=60) as page:
            return str(page.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the series of that name with these labels among others, as they are now."""
        self.status()  # otherwise an idle route's are up to a second old
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in self.metrics().splitlines()
            if line.startswith((name + "{", name + " ")) and all(one in line for one in wanted)
        )

    def wait_settled(self, *, seconds: float) -> Ledger:
        """Wait until every acknowledged id has come out, or the time is over; the audit says what is missing.

        What comes twice comes soon after: the bridge is given the time to settle all that it has read.
        """
        deadline = time.monotonic() + seconds
        settled = {id for id, _ in self.ledger.results} | set(self.ledger.dead)
        while time.monotonic() < deadline:
            seen = len(self.ledger.results), len(self.ledger.dead)
            self.collect()
            settled.update(id for id, _ in self.ledger.results[seen[0] :])
            settled.update(self.ledger.dead[seen[1] :])
            if self.ledger.acknowledged <= settled and self.status()["unsettled"] == 0:
                break
            time.sleep(0.1)
        return self.collect()
