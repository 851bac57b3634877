"""Programs on real brokers, with names of their own: tests may share a server."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping


def program(
    url: str,
    *,
    settings: Mapping[str, object] | None = None,
    guarantee: str = "at-least-once",
    more: str = "",
    letters: str = "",
) -> str:
    """The rig's program with its streams at `url`. `more` are further keys of the command, as in `, attempts: 2`; `letters` is
    where the dead letters go, if not there as well."""
    name = secrets.token_hex(4)
    elsewhere = f"    letters: {{url: {json.dumps(letters)}}}\n" if letters else ""
    dead = f"    numbers.dead: {{connection: letters, topic: letters-{name}}}\n" if letters else ""
    text = f"""\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {{name: rig{name}}}
spec:
  model: rig_science:<model>
  connections:
    events: {{url: {json.dumps(url)}, settings: {json.dumps(settings or {})}}}
{elsewhere}  streams:
    numbers: {{connection: events, topic: numbers-{name}}}
    answers: {{connection: events, topic: answers-{name}}}
{dead}  commands:
    - {{name: score-stream, input: numbers, output: answers, workers: <workers>, deadline: <deadline>, order: <order>,
       guarantee: {guarantee}{more}}}
"""
    text = text.replace("{", "{{").replace("}", "}}")  # the rig fills in the rest
    for word in ("model", "workers", "deadline", "order"):
        text = text.replace(f"<{word}>", f"{{{word}}}")
    return text
