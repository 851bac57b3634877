"""A project's way to its data: the bridge that runs for it, or one of its own that serves nothing else.

Nothing is looked for or started before the first call, so that commands may offer `ctx` to every model and own command.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pyrunner.data.access import Access
from pyrunner.data.reach import OnDemand, Reach

if TYPE_CHECKING:
    from pyrunner.bridge import Bridge
    from pyrunner.client import Calls
    from pyrunner.context import Context
    from pyrunner.project import Project

LOG = "data.log"  # of a bridge of its own, in the state folder


@contextmanager
def connect(
    program: Path | str | None = None, *, env: str | None = None, params: Sequence[str] = ()
) -> Iterator[Context]:
    """A `ctx` for notebooks and scripts: `with pyrunner.connect("program.yaml") as ctx: ctx.read_sql(...)`.

    `program` is program.yaml or its folder, by default here or above. Asks the bridge that runs for the program, else starts one,
    which ends with the block.
    """
    from pyrunner.context import Context
    from pyrunner.project import open_project

    with access_to(open_project(None if program is None else Path(program), env, params)) as access:
        yield Context(access=access)


@contextmanager
def access_to(
    project: Project, bridge: str | None = None, token_file: Path | None = None
) -> Iterator[Access]:
    """The project's data, over the bridge that is named, else the one that runs, else one of its own."""
    way = _Way(project, bridge, token_file)
    try:
        yield Access(OnDemand(way.open), project.connections)
    finally:
        way.close()


class _Way:
    """A control connection, and the bridge that was started for it."""

    def __init__(self, project: Project, bridge: str | None, token_file: Path | None) -> None:
        self._project = project
        self._bridge, self._token_file = bridge, token_file
        self._child: Bridge | None = None
        self._calls: Calls | None = None

    def open(self) -> Reach:
        from pyrunner.client import Calls, Dialler, Identity
        from pyrunner.protocol import Role

        address, token_file = self._where()
        identity = Identity(program=self._project.name)
        self._calls = Calls(Dialler(address, token_file, Role.CONTROL, identity, _Silent()))
        self._calls.start()
        return self._calls

    def close(self) -> None:
        if self._calls is not None:
            self._calls.close()
        if self._child is not None:
            self._child.stop()

    def _where(self) -> tuple[str, Path]:
        from pyrunner import bridge as bridges
        from pyrunner.local import bridge_options, require_address, require_token

        if self._bridge:
            return require_address(self._bridge), require_token(self._token_file)
        found = bridges.discover(self._project.state)
        if found is not None:
            return found.wire, found.token_file
        options = bridge_options(self._project, [], data_only=True)
        self._child = bridges.start(options, log=self._project.state / LOG)
        return self._child.wire, options.token_file


class _Silent:
    """A call that finds no connection says so itself."""

    def info(self, event: str, **values: object) -> None: ...

    def warning(self, event: str, **values: object) -> None: ...
