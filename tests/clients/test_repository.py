"""tritonclient as an operator: it lists, loads and unloads versions on the admin listener."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .served import served
from .test_open_inference import PYTHON

SCIENCE = """\
from pyrunner import Event, Model


class Point(Event):
    x: float


class Line(Model[Point, Point]):
    def fit(self, slope):
        self.slope = slope
        return self

    def predict(self, events: list[Point]) -> list[Point]:
        return [Point(x=e.x * self.slope) for e in events]
"""
SAVE = (
    "import line_science; from pathlib import Path; from pyrunner.models import ModelStore; "
    "[ModelStore(Path('models')).save('line', line_science.Line().fit(s)) for s in (1.0, 2.0)]"
)
OPERATOR = """\
import json, sys
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

client = http.InferenceServerClient(sys.argv[1])
said = [client.get_model_repository_index()]
client.load_model("line")
for refused in (
    lambda: client.unload_model("line"),
    lambda: client.load_model("line", config="{}"),
    lambda: client.load_model("other"),
):
    try:
        refused()
        said.append("done")
    except InferenceServerException as error:
        said.append(error.status())
print(json.dumps(said))
"""


def test_tritonclient_lists_loads_and_unloads(tmp_path: Path) -> None:
    assert PYTHON.exists(), "the clients have no environment. Run: make tests/clients/.env/.installed"
    folder = tmp_path / "line"
    folder.mkdir()
    (folder / "line_science.py").write_text(SCIENCE)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", SAVE], cwd=folder, env=environment, check=True)
    with served(folder, "line", "Line", SCIENCE):
        admin = json.loads((folder / ".ds-runner" / "bridge.json").read_text())["metrics"]
        done = subprocess.run([PYTHON, "-c", OPERATOR, admin], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr
    index, *refused = json.loads(done.stdout)
    assert index == [{"name": "line", "version": "2", "state": "READY", "reason": ""}]
    assert refused == ["409", "400", "404"]
