"""Names the cause of a worker's death, from how its process ended and what is known around it. Pure."""

from __future__ import annotations

import signal
from dataclasses import dataclass

EXIT_LOAD = 78  # EX_CONFIG: the model could not be loaded; the reason was reported
EXIT_ROBBED = 76  # EX_PROTOCOL: user code closed descriptors that the wire needs
EXIT_OK = 0


_EXITS = {EXIT_ROBBED: f"user code closed descriptors of the wire, exit code {EXIT_ROBBED}"}


@dataclass(frozen=True)
class Death:
    """`cause` is one of PROTOCOL.md section 4: exit, signal, oom, hang, killed, load."""

    cause: str
    detail: str

    @property
    def sentence(self) -> str:
        return {
            "exit": f"ended by itself ({self.detail})",
            "signal": f"was ended by {self.detail}",
            "oom": f"out of memory: {self.detail}",
            "hang": f"was cut: {self.detail}",
            "killed": f"was killed from outside ({self.detail})",
            "load": f"could not load its model: {self.detail}",
        }[self.cause]


def name_death(
    returncode: int, *, cut: str | None = None, failure: str | None = None, out_of_memory: bool = False
) -> Death:
    """The cause of a death.

    `returncode` is subprocess's (negative for a signal), `cut` the reason why we ended it ourselves, `failure` the report of a
    load that failed, `out_of_memory` whether the kernel counted an out-of-memory kill meanwhile.
    """
    if returncode >= 0:
        if failure is not None:
            return Death("load", failure)
        return Death("exit", _EXITS.get(returncode, f"exit code {returncode}"))
    name = signal_name(-returncode)
    if returncode == -signal.SIGKILL:
        if cut is not None:
            return Death("hang", cut)
        return Death("oom", "the kernel killed it") if out_of_memory else Death("killed", name)
    return Death("killed", name) if -returncode in (signal.SIGTERM, signal.SIGINT) else Death("signal", name)


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
