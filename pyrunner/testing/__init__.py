"""Test a program without a broker, through the real codec.

`run_model` scores events the way the wire does; `FakeBridge` is a bridge in this process that real workers and clients
dial. `pyrunner.testing.plugin` offers both as pytest fixtures.
"""

from pyrunner.testing.fake_bridge import Answered, FakeBridge
from pyrunner.testing.run_model import Answer, run_model

__all__ = ["Answer", "Answered", "FakeBridge", "run_model"]
