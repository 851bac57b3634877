"""What a worker's process looks like before user code runs in it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
from pathlib import Path

from pyrunner.client.sockets import raise_descriptor

THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)

_PR_SET_PDEATHSIG = 1


def thread_settings(
    workers: int, environment: dict[str, str], processors: int | None = None
) -> dict[str, str]:
    """One share of the processors for each worker, unless the user has said otherwise. To be set before exec: numpy's libraries read them once."""
    share = str(max(1, (processors or os.cpu_count() or 1) // max(1, workers)))
    return {name: environment.get(name, share) for name in THREADS}


def worker_environment(workers: int, secrets: frozenset[str], environment: dict[str, str]) -> dict[str, str]:
    """The environment of a worker: what its parent has, without what only the bridge is to know.

    On a laptop one terminal starts both, so the parent's environment holds the credentials of the connections. A process that is
    started without them has them nowhere, neither in os.environ nor in its memory.
    """
    return {k: v for k, v in environment.items() if k not in secrets} | thread_settings(workers, environment)


def calm_collector() -> None:
    """Set what is loaded aside and collect garbage every 50,000 objects instead of every 700.

    A batch makes and drops hundreds of objects that hold no cycles; looking for some in each of them costs 0.1 us of the
    1.1 us that an event takes. User code may set thresholds of its own.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, where it can (Linux).

    The lifeline tells a worker that waits; one that hangs in a call of its model would never look.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def stand_back() -> None:
    """Let others have the processors first, and memory: a worker that nothing depends on is in nobody's way."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def protect_descriptors() -> int:
    """Move standard input, the parent's lifeline, out of reach and send what user code prints to the log (standard error).

    Returns the lifeline: it becomes readable, at its end, when the parent is gone.
    """
    lifeline = raise_descriptor(os.dup(0))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return lifeline
