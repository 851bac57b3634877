"""What a supervisor is asked to run, and what it tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHADOW = "/shadow"  # behind a command's name, what the workers of its shadow are known by


@dataclass(frozen=True)
class WorkerSpec:
    """Workers for one command of one program.

    `program` is the path of program.yaml, `name` the program's name, `model_ref` a version or alias of the trained model.
    `secrets` are environment variables that workers must not have. A `shadow` scores beside the command's own workers, and
    nothing depends on it. `version` is what the bridge calls one of several versions that answer side by side. `served_by` is, for a
    program whose model another program's server answers for, what that one calls it: COMMAND:MODEL; `name` is then the other's.
    `standby` is how many more are loaded, and get nothing until one of the workers dies.
    """

    program: Path
    command: str
    workers: int = 1
    env: str | None = None
    params: Sequence[str] = ()
    model_ref: str | None = None
    name: str = ""
    secrets: frozenset[str] = frozenset()
    shadow: bool = False
    version: str = ""
    served_by: str = ""
    standby: int = 0

    @property
    def served(self) -> str:
        """What the bridge knows the versions of this model by."""
        return self.served_by or self.command

    @property
    def route(self) -> str:
        """What the bridge, logs and metrics know these workers by."""
        own = f"{self.served}@{self.version}" if self.version else self.served
        return f"{self.command}{SHADOW}" if self.shadow else own


@dataclass(frozen=True)
class WorkerEvent:
    """A change in a worker's life: `started`, `ready`, `failed` (to load), `died`, `ended` (after a drain).

    Before its end a worker tells of fields that its class does not know: `unknown`, with a sentence a field in `detail`.
    """

    kind: str
    command: str
    slot: int
    pid: int
    cause: str = ""
    detail: str = ""

    @property
    def of_shadow(self) -> bool:
        """Whether it is about a shadow's worker, which nothing depends on."""
        return self.command.endswith(SHADOW)
