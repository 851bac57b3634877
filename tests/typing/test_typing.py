"""The example passes the type checkers that people use, and mistakes in it do not."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).with_name("science_example.py")
ROOT = Path(__file__).parents[2]
PYRIGHT = shutil.which("basedpyright", path=str(Path(sys.executable).parent))

MISTAKES = """
Departure("1", "UA", "JFK", 1400.0)
Departure(flight_id="1", carrier="UA", origin="JFK")
Departure(flight_id="1", carrier="UA", origin="BOS", distance=1400.0)
Estimate(arr_delay="late", late=True)
"""


def mypy(path: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)


def test_mypy_passes_on_the_example_and_fails_on_each_mistake(tmp_path: Path) -> None:
    ok = mypy(EXAMPLE, tmp_path)
    assert ok.returncode == 0, ok.stdout
    wrong = tmp_path / "wrong.py"
    wrong.write_text(EXAMPLE.read_text() + MISTAKES)
    done = mypy(wrong, tmp_path)
    first = len(EXAMPLE.read_text().splitlines()) + 2
    told = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    assert told == {first, first + 1, first + 2, first + 3}, done.stdout


def test_mypy_passes_on_the_shortest_of_model_files(tmp_path: Path) -> None:
    shortest = tmp_path / "shortest.py"
    shortest.write_text(
        "from pyrunner import Event, Model, Params\n\n\nclass Q(Event):\n    x: float\n\n\n"
        "class Line(Model[Q, Q]):\n    class Params(Params):\n        slope: float = 1.0\n"
        "    def predict_one(self, q: Q) -> Q:\n        return Q(x=q.x * self.params.slope)\n"
    )
    done = mypy(shortest, tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(PYRIGHT is None, reason="needs basedpyright, which `pip install -e .[dev]` brings")
def test_pyright_passes_on_the_example(tmp_path: Path) -> None:
    settings = {"typeCheckingMode": "standard", "include": ["science_example.py"], "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    shutil.copy(EXAMPLE, tmp_path)
    command = [str(PYRIGHT), "--pythonpath", sys.executable, "-p", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout
