"""Test a program without a broker, through the real codec.

`run_model` scores events the way the wire does; `FakeBridge` is a bridge in this process that real workers and clients
dial; `FakeData` is what their `ctx` finds. `pyrunner.testing.plugin` offers the first two as pytest fixtures.
"""

from pyrunner.testing.fake_bridge import Answered, FakeBridge
from pyrunner.testing.fake_data import FakeData
from pyrunner.testing.run_model import Answer, run_model

__all__ = ["Answer", "Answered", "FakeBridge", "FakeData", "run_model"]
