"""`Model[In, Out]`: the one class that a data scientist writes.

A model is an ordinary object: it can be made, fitted and asked in a notebook, and nothing starts by importing it. What it is
given from outside (params, seed) is in `self.params` and `self.seed`; what it has learnt is whatever attributes `fit` set.
Who calls it: `training.train` (fit, evaluate, save), `scoring.Scorer` (predict by every way in) and `checks.check_model`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import msgspec

from pyrunner import params as _params
from pyrunner.errors import UserError

In = TypeVar("In")
Out = TypeVar("Out")

_OWN = ("_params", "_seed")  # given from outside, so never part of what was learnt


class Model(Generic[In, Out]):
    """Learn from history, then answer events: override `fit` and `predict`.

    - `fit(history, validation=None, *, ctx) -> Self` learns and keeps what it learnt in attributes. A model without `fit`
      needs no training.
    - `predict(X, *, ctx)` answers a batch; the annotation of its first argument says what the batch is made of: `list[In]`,
      `Batch[In]`, `pd.DataFrame`, `pa.Table` or `dict[str, np.ndarray]`. Or `predict_one(event)` answers one event.
    - `transform(X)` is what a cleaner or feature extractor has instead of `predict`.
    - `evaluate(validation) -> dict[str, float]`, `save(path)`, `load(path)` and `warm_up()` have defaults.

    All arguments but the first are passed only to methods that name them. Methods are called by one thread at a time.
    """

    if not TYPE_CHECKING:  # a declared attribute would make mypy read `class Params(Params)` as its own base
        #: The class of `self.params`; nest your own: `class Params(Params): shrink: float = 50.0`.
        Params = _params.Params
    #: Say True when the answer for an event depends on the other events of its batch.
    batch_dependent: ClassVar[bool] = False
    #: By how much two floats may differ and still be the same answer.
    tolerance: ClassVar[float] = 1e-9
    #: What `ctx` shall know of each event: any of "keys", "headers", "timestamps". `Batch[In]` gets all.
    metadata: ClassVar[tuple[str, ...]] = ()

    def __init__(self, params: Any = None, *, seed: int = 0, **settings: Any) -> None:
        self._params = make_params(type(self), params, settings)
        self._seed = seed

    @property
    def params(self) -> Any:
        """The settings, an instance of the class's own `Params`."""
        if "_params" not in self.__dict__:  # a subclass with an __init__ that does not call ours
            self._params = make_params(type(self), None, {})
        return self._params

    @params.setter
    def params(self, params: Any) -> None:
        self._params = make_params(type(self), params, {})

    @property
    def seed(self) -> int:
        """The number that all randomness is to be drawn from; recorded with the trained model."""
        seed: int = self.__dict__.get("_seed", 0)
        return seed

    @seed.setter
    def seed(self, seed: int) -> None:
        self._seed = seed

    def fit(self, history: Any, /, *args: Any, **kwargs: Any) -> Self:
        """Learn from `history` and return self. The default has nothing to learn."""
        return self

    def predict(self, X: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Answer a batch of events, one answer an event in their order."""
        raise UserError(_nothing_to_call(type(self)))

    def predict_one(self, event: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Answer one event; an alternative to `predict` where nothing is gained by batches."""
        raise UserError(_nothing_to_call(type(self)))

    def transform(self, X: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Answer a batch of events, for a model that prepares data for another."""
        raise UserError(_nothing_to_call(type(self)))

    def evaluate(self, validation: Any, /, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Metrics over a validation set: RMSE or accuracy of each result field that the set also has as a column.

        Of further arguments `ctx` is used: predict asks for data by it, and writes nothing.
        """
        from pyrunner.evaluation import evaluate

        return evaluate(self, validation, kwargs.get("ctx"))

    def save(self, path: Path, /) -> None:
        """Write what was learnt into the folder `path`; by default the attributes, pickled."""
        from pyrunner.models.payload import save_attributes

        save_attributes(self, path)

    def load(self, path: Path, /) -> Any:
        """Read what `save` wrote from the folder `path`. The store has checked the files' hashes before."""
        from pyrunner.models.payload import load_attributes

        return load_attributes(self, path)

    def warm_up(self) -> None:
        """Pay first-call costs before the first event. By default a few saved sample events are answered instead."""

    def learnt(self) -> dict[str, Any]:
        """The attributes that make this model differ from a fresh one with the same params and seed."""
        return {name: value for name, value in self.__dict__.items() if name not in _OWN}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.params!r}, seed={self.seed})"


def make_params(cls: type[Any], params: Any, settings: Mapping[str, Any]) -> Any:
    """An instance of `cls.Params` from an instance, a mapping or keywords; checked, so a UserError names what is wrong."""
    wanted = params_class(cls)
    if isinstance(params, wanted):
        given = msgspec.structs.asdict(params) | dict(settings)
    elif params is None or isinstance(params, Mapping):
        given = dict(params or {}) | dict(settings)
    else:
        raise UserError(
            f"{cls.__name__}: params are a {wanted.__qualname__} or a mapping, not {type(params).__name__}"
        )
    unknown = sorted(set(given) - set(wanted.__struct_fields__))
    if unknown:
        raise UserError(_unknown_params(cls, unknown))
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as e:
        raise UserError(f"{cls.__name__}.Params: {e}".replace(" - at `$.", " - at `")) from None


def params_class(cls: type[Any]) -> Any:
    """The Params class of a model class."""
    return cls.Params


def overrides(cls: type, verb: str) -> bool:
    """Whether a model class has its own `fit`, `predict`, ..."""
    return getattr(cls, verb, None) is not getattr(Model, verb)


def seed_everything(seed: int) -> None:
    """Seed `random` and, where they are loaded, numpy and torch. Called before fit, and once when a model is loaded."""
    random.seed(seed)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(seed % 2**32)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def _unknown_params(cls: type[Any], names: list[str]) -> str:
    from pyrunner.program.words import unknown

    known = list(params_class(cls).__struct_fields__)
    return "\n".join(unknown(f"{cls.__name__}.Params: no parameter", name, known) for name in names)


def _nothing_to_call(cls: type) -> str:
    name = cls.__name__
    return f"{name} has no predict. Write: def predict(self, events: list[In]) -> list[Out]: ..."
