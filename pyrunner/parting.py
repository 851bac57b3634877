"""How the workers of serve-api part from a bridge that lives on: it may have accepted what nobody else could score."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pyrunner.client.control import ControlClient
from pyrunner.client.pending import CallError, Unreachable

_LONGEST = 60.0  # seconds, the drain delay and what is answered after it
_AGAIN = 0.1


def parting(bridge: str, token_file: Path, command: str) -> Callable[[str], None]:
    """What a parent of workers, by its name, does before it ends them: it returns when they may go.

    The bridge keeps its front open for `drain_delay` and answers what it has. One that is itself about to end needs the workers for
    that, and says goodbye to them; one that has ended, or knows nothing of this, needs nobody.
    """

    def part(parent: str) -> None:
        until = time.monotonic() + _LONGEST
        while time.monotonic() < until:
            try:
                with ControlClient(bridge, token_file) as client:
                    client.call("versions.leave", command, parent, deadline=until - time.monotonic())
                return
            except Unreachable as error:
                if "draining" not in str(error):
                    return
                time.sleep(_AGAIN)
            except (CallError, TimeoutError):
                return

    return part
