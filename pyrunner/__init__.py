"""Write one class, then train it, stream-score with it, serve it and replay it through the same wire.

    from pyrunner import Event, Model

Importing this package starts nothing and loads neither numpy nor pandas.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pyrunner.batch import Batch
from pyrunner.context import Context
from pyrunner.errors import UserError
from pyrunner.events import Event
from pyrunner.fields import EventTime, Field, Key
from pyrunner.model import Model
from pyrunner.outcomes import Many, Reject, To
from pyrunner.params import Params
from pyrunner.usercommands import command

if TYPE_CHECKING:
    from pyrunner.adapters import pyfunc_model, sklearn_model, torch_model
    from pyrunner.checks import CheckReport, check_model
    from pyrunner.data import DataError
    from pyrunner.data.connect import connect
    from pyrunner.models import ModelStore
    from pyrunner.scoring import Scorer, Surroundings
    from pyrunner.training import TrainResult, train

__all__ = [
    "Batch",
    "CheckReport",
    "Context",
    "DataError",
    "Event",
    "EventTime",
    "Field",
    "Key",
    "Many",
    "Model",
    "ModelStore",
    "Params",
    "Reject",
    "Scorer",
    "Surroundings",
    "To",
    "TrainResult",
    "UserError",
    "check_model",
    "command",
    "connect",
    "pyfunc_model",
    "sklearn_model",
    "torch_model",
    "train",
]

# What a model file does not need is loaded when it is first asked for.
_LATER = {
    "CheckReport": "pyrunner.checks",
    "DataError": "pyrunner.data",
    "ModelStore": "pyrunner.models",
    "Scorer": "pyrunner.scoring",
    "Surroundings": "pyrunner.scoring",
    "TrainResult": "pyrunner.training",
    "check_model": "pyrunner.checks",
    "connect": "pyrunner.data.connect",
    "pyfunc_model": "pyrunner.adapters",
    "sklearn_model": "pyrunner.adapters",
    "torch_model": "pyrunner.adapters",
    "train": "pyrunner.training",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'pyrunner' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
