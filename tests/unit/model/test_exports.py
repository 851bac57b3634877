"""What the package offers, and what importing it costs."""

import subprocess
import sys

import pyrunner

PUBLIC = {
    "Batch", "CheckReport", "Context", "DataError", "Event", "EventTime", "Field", "Key", "Many", "Model", "ModelStore", "Params", "Reject",
    "Scorer", "Surroundings", "To", "TrainResult", "UserError", "check_model", "command", "connect", "pyfunc_model", "sklearn_model",
    "torch_model", "train",
}  # fmt: skip


def test_the_public_names_are_these_and_each_can_be_had() -> None:
    assert set(pyrunner.__all__) == PUBLIC
    assert len(pyrunner.__all__) == len(PUBLIC)
    for name in pyrunner.__all__:
        assert getattr(pyrunner, name).__module__.startswith("pyrunner.")
    assert dir(pyrunner) == pyrunner.__all__


def test_importing_the_package_loads_no_numpy_and_no_frames() -> None:
    heavy = {"numpy", "pandas", "pyarrow", "pydantic", "sklearn", "torch", "typer", "rich"}
    script = f"import sys, pyrunner; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == ""


def test_scoring_with_lists_needs_no_numpy_either() -> None:
    script = """
import sys
from pyrunner import Event, Model, Scorer
class Q(Event):
    x: float
class Line(Model[Q, Q]):
    def predict(self, events: list[Q]) -> list[Q]:
        return [Q(x=2 * e.x) for e in events]
print(Scorer(Line()).score([b'{"x": 1}', b'{"x": "a"}']).outputs, *sorted({"numpy", "pandas", "pyarrow"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == r"""b'{"x":2.0}\n'"""


def test_a_name_that_is_not_there_is_an_ordinary_attribute_error() -> None:
    try:
        pyrunner.nothing  # noqa: B018
    except AttributeError as e:
        assert "nothing" in str(e)
    else:
        raise AssertionError
