"""Has the versions of a model run that the bridge wants: the parent's side of a switch of versions.

    bridge: what is wanted -> look it up in the model store, compare its files' hashes, see whether there is room -> Supervisor.change

The bridge decides which version answers; what a name means, and whether a version may be loaded, is decided here, where the model
store is. A version that cannot be is told with its reason, and nothing else changes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError
from pyrunner.errors import UserError
from pyrunner.models import manifest as manifests
from pyrunner.runtime.room import Room, refusal, room

if TYPE_CHECKING:
    from pyrunner.project import Project
    from pyrunner.runtime import WorkerEvent, WorkerSpec

_WAIT_MS = 1000  # that a watch waits in the bridge, and a failure here
_PAUSE = 0.5  # seconds between attempts to reach a bridge
_DONE = {"unknown_method", "unknown_command"}  # a bridge that knows nothing of versions


class Versions:
    """One command's. `start` runs it on a thread; `close` ends that and waits for it.

    `specs` are what the supervisor began with, `change`, `largest` and `turn_to` (its `replace`) are its own. `note` is told of what happens to workers.
    """

    def __init__(
        self,
        project: Project,
        specs: Sequence[WorkerSpec],
        bridge: str,
        token_file: Path,
        *,
        change: Callable[[Sequence[WorkerSpec], Collection[str]], None],
        turn_to: Callable[[WorkerSpec], None],
        largest: Callable[[], int],
        log: Any,
        left: Callable[[], Room | None] = room,
    ) -> None:
        self._project, self._base = project, replace(specs[0], version="", model_ref=None)
        self._bridge, self._token_file = bridge, token_file
        self._turn, self._change, self._largest, self._log, self._left = turn_to, change, largest, log, left
        # by name the version; None: refused
        self._running: dict[str, str | None] = {spec.version: spec.model_ref or "" for spec in specs}
        self._since: dict[str, int] = {}  # by name, of those that were refused: when they had been wanted
        self._added: set[str] = set()
        self._failures: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._seen = 0
        self._weights: dict[str, int] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ds-runner-versions", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(_WAIT_MS / 1000 + 2)

    def note(self, event: WorkerEvent) -> None:
        """A change in a worker's life. Never blocks."""
        served, _, name = event.command.partition("@")
        if event.kind == "failed" and served == self._base.served and name in self._added:
            self._failures.put((name, event.detail))

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with ControlClient(self._bridge, self._token_file) as client:
                    while not self._stop.is_set():
                        self.turn(client)
            except CallError as error:
                if error.code in _DONE:
                    return
                self._stop.wait(_PAUSE)
            except (OSError, ValueError):
                self._stop.wait(_PAUSE)

    def turn(self, client: Any) -> None:
        """Ask what is wanted, and see to it."""
        weights = [[name, weight] for name, weight in self._weights.items()]
        wish = self._call(client, "watch", self._seen, _WAIT_MS, weights)
        self._seen, self._weights = wish["generation"], wish.get("weights") or self._weights
        for name in wish["asks"]:
            self._call(client, "named", name, *self._resolved(name))
        wanted = {version["name"]: version["model"] for version in wish["versions"]}
        since = {version["name"]: version.get("since", 0) for version in wish["versions"]}
        for name, model in wanted.items():
            if name not in self._running or self._since.get(name, since[name]) != since[name]:
                self._since.pop(name, None)
                self._begin(client, name, model, since[name])
            elif model and model != self._running[name]:
                self._turn_to(client, name, model)
        for name in [name for name in self._running if name not in wanted]:
            self._end(name)
        self._tell_failures(client)

    def _begin(self, client: Any, name: str, model: str, since: int) -> None:
        try:
            spec = self._spec(name, model)
        except (UserError, OSError, ValueError) as error:
            self._since[name] = since
            self._refuse(client, name, None, error)
            return
        self._running[name] = spec.model_ref
        self._added.add(name)
        self._log.info("loading a version", command=self._base.served, version=spec.model_ref)
        self._change([spec], ())

    def _turn_to(self, client: Any, name: str, model: str) -> None:
        """Another version in the place of the one that runs: there is no need of room for both."""
        if self._running[name] is None:
            return
        try:
            spec = replace(self._base, version=name, model_ref=self._checked(model))
        except (UserError, OSError, ValueError) as error:
            self._refuse(client, name, model, error)
            return
        self._running[name] = model
        self._added.add(name)
        self._log.info("replacing workers", command=self._base.served, version=model)
        self._turn(spec)

    def _refuse(self, client: Any, name: str, model: str | None, error: Exception) -> None:
        """Tell why, and do not try it again."""
        self._log.error("version not loaded", version=model or name, reason=str(error))
        self._running[name] = model
        self._call(client, "failed", name, str(error))

    def _checked(self, ref: str) -> str:
        """The number of a version whose files are what they were; else a UserError."""
        version = self._project.store.version(self._project.name, ref)
        manifests.check_files(version.manifest, version.path)
        return version.version

    def _spec(self, name: str, model: str) -> WorkerSpec:
        """What to run; UserError for what is not in the model store, has changed there, or finds no room."""
        version = self._checked(model or name or "latest")
        if why := refusal(self._base.workers + self._base.standby, self._largest(), self._left()):
            raise UserError(
                f"no room for version {version} beside the others: {why}. Give it more memory, or write swap: in-place"
            )
        return replace(self._base, version=name, model_ref=version)

    def _end(self, name: str) -> None:
        self._since.pop(name, None)
        if self._running.pop(name) is not None:
            self._change((), [replace(self._base, version=name).route])
        self._added.discard(name)

    def _resolved(self, name: str) -> tuple[str, str]:
        try:
            return self._project.store.resolve(self._project.name, name), ""
        except (UserError, OSError) as error:
            return "", str(error)

    def _tell_failures(self, client: Any) -> None:
        with suppress(Empty):
            while True:
                self._call(client, "failed", *self._failures.get_nowait())

    def _call(self, client: Any, method: str, *args: Any) -> Any:
        answer = client.call(f"versions.{method}", self._base.served, *args, deadline=_WAIT_MS / 1000 + 4)
        return None if answer is None else json.loads(answer)
