"""The golden answers: a file of events through the real wire, against what was kept."""

import shutil
import subprocess
import sys
from pathlib import Path

{% set input = "questions" if cookiecutter.example == "minimal" else "departures" -%}
PROJECT = Path(__file__).parents[1]


def test_a_model_trained_here_gives_the_golden_answers(tmp_path: Path) -> None:
    """When answers should have changed: ds-runner replay data/{{ input }}.jsonl --output tests/golden.jsonl, and read the diff."""
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "models"))
    ds_runner(copy, "train")
    ds_runner(copy, "replay", "data/{{ input }}.jsonl", "--expect", "tests/golden.jsonl")


def ds_runner(folder: Path, *command: str) -> None:
    runner = [sys.executable, "-m", "pyrunner.cli"]
    done = subprocess.run([*runner, *command], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
