"""An audit that is cut short leaves nothing behind, and one at steps says what it reached."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .audits import Auditor
from .rig import wait_until


def below(pid: int) -> set[int]:
    """The processes that this one has started, and theirs."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        direct = {int(child) for child in children.read_text().split()}
    except OSError:
        return set()
    return direct.union(*map(below, direct)) if direct else direct


def lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.parametrize("cut", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda cut: cut.name)
def test_an_audit_that_is_cut_short_leaves_no_process(tmp_path: Path, cut: signal.Signals) -> None:
    """By SIGKILL too: the system ends its children then."""
    audit = subprocess.Popen(
        [sys.executable, "-m", "pyrunner.cli", "audit", "--embedded", "--rate", "2000", "--times", "50"],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(below(audit.pid)) >= 4, seconds=120, what="bridge, runner and two workers")
        started = below(audit.pid)
        audit.send_signal(cut)
        assert audit.wait(120) == (-cut if cut == signal.SIGKILL else 130)
        wait_until(
            lambda: not any(map(lives, started)),
            seconds=120,
            what=f"the end of {started}, started by the audit",
        )
    finally:
        audit.kill()
        audit.wait()
    if cut != signal.SIGKILL:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("faulty_bridge")
def test_T4_an_audit_at_steps_ends_the_bridge_at_each_and_loses_nothing(auditor: Auditor) -> None:
    audit = auditor.run(
        "--kill", "bridge", "--at", "steps", "--times", "7", "--poisons", "40", "--events", "10000",
        "--seed", "20131001",
    )  # fmt: skip
    audit.require(done={"kill bridge": 7}, duplicates=0, inversions=0)
    assert audit.ledger["steps"] == {
        "reached": dict.fromkeys(
            (
                "after-poll",
                "after-produce",
                "after-send",
                "before-commit",
                "dead-lettering",
                "draining",
                "half-results",
            ),
            1,
        ),
        "missed": {},
    }
