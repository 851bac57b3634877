"""Runs a measuring child and reads the JSON that it prints as its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = Path(__file__).parent / ".envs"
PEERS = ENVIRONMENTS / "peers" / "bin" / "python"
QUIX = ENVIRONMENTS / "quix" / "bin" / "python"  # it pins its Kafka client
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def cpu_us(module: str, *arguments: object, python: Path | str = sys.executable) -> float:
    """CPU us an event of `python -m module arguments`, which prints {"n": ..., "cpu_s": ...}."""
    return figures([python, "-m", module, *arguments]).cpu_us


@dataclass(frozen=True)
class Figures:
    """Of one child: CPU us an event, and events a second where it tells of wall time."""

    cpu_us: float
    rate: float


def figures(command: Sequence[object]) -> Figures:
    """Runs a command whose last line is {"n": ..., "cpu_s": ..., "wall_s": ...}."""
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **SINGLE},
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    n = measured["n"]
    return Figures(
        cpu_us=measured["cpu_s"] / n * 1e6, rate=n / measured["wall_s"] if "wall_s" in measured else 0.0
    )


def peer(name: str, *arguments: object, python: Path = PEERS) -> Figures:
    """A peer's figures, in an environment that the Makefile makes."""
    if not python.exists():
        raise RuntimeError("the peers' environment is missing. Run: make bench")
    return figures([python, "-m", f"tests.bench.peers.{name}", *arguments])


def peer_us(name: str, *arguments: object) -> float:
    """The same in the peers' own environment, which the Makefile makes."""
    return peer(name, *arguments).cpu_us
