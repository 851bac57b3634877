"""Runs a measuring child and reads the JSON that it prints as its last line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PEERS = Path(__file__).parent / ".envs" / "peers" / "bin" / "python"
SINGLE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def cpu_us(module: str, *arguments: object, python: Path | str = sys.executable) -> float:
    """CPU us an event of `python -m module arguments`, which prints {"n": ..., "cpu_s": ...}."""
    done = subprocess.run(
        [python, "-m", module, *map(str, arguments)],
        env={**os.environ, **SINGLE},
        capture_output=True,
        text=True,
        timeout=180,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{module}: {done.stderr[-2000:]}")
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    return float(measured["cpu_s"] / measured["n"] * 1e6)


def peer_us(name: str, *arguments: object) -> float:
    """The same in the peers' own environment, which the Makefile makes."""
    if not PEERS.exists():
        raise RuntimeError("the peers' environment is missing. Run: make bench")
    return cpu_us(f"tests.bench.peers.{name}", *arguments, python=PEERS)
