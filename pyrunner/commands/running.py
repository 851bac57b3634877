"""The bridge that runs already: how `publish`, `tail`, `seek` and others in a second terminal reach the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyrunner.bridge import Unavailable, discover
from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError
from pyrunner.errors import UserError
from pyrunner.local import require_address, require_token
from pyrunner.project import Project


@contextmanager
def control(
    project: Project, bridge: str | None = None, token_file: Path | None = None
) -> Iterator[ControlClient]:
    """A connection to the bridge that is named, else to the one that runs for this project.

    A refused call is the user's to mend; a bridge that is gone is Unavailable.
    """
    address, token = _where(project, bridge, token_file)
    try:
        with ControlClient(address, token) as client:
            yield client
    except CallError as e:
        if e.code == "busy":
            raise Unavailable(e.reason) from e
        if e.retry:
            raise Unavailable(f"the bridge at {address} did not answer: {e.reason}") from e
        raise UserError(e.reason) from e


def _where(project: Project, bridge: str | None, token_file: Path | None) -> tuple[str, Path]:
    if bridge:
        return require_address(bridge), require_token(token_file)
    found = discover(project.state)
    if found is None:
        raise Unavailable("no bridge is running for this project. Run: ds-runner up")
    return found.wire, found.token_file
