"""An existing model in three lines: `sklearn_model`, `torch_model`, `pyfunc_model`. Each makes a Model class.

    from sklearn.ensemble import HistGradientBoostingRegressor
    from pyrunner import sklearn_model

    Delays = sklearn_model(HistGradientBoostingRegressor, Departure, Delay, target="arr_delay")

The class has the name of the variable that it is bound to by the module, once program.yaml or a manifest looks for it. None of
the libraries is imported here.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec

from pyrunner.context import Context
from pyrunner.errors import UserError
from pyrunner.model import Model
from pyrunner.params import Params
from pyrunner.schema import EventSchema, FieldSchema, schema_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_NUMERIC = ("float", "int", "bool")


def sklearn_model(
    factory: Callable[..., Any],
    In: type,
    Out: type,
    *,
    target: str,
    features: Sequence[str] | None = None,
    params: type[Params] | None = None,
    name: str | None = None,
) -> type[Model[Any, Any]]:
    """A Model around an estimator of scikit-learn or of anything with its fit and predict.

    `factory` is an estimator class, whose constructor's settings become the model's params, or a function that makes an estimator
    (say a Pipeline), which is given the params that it names. It gets `random_state` from the model's seed if it knows that
    word. `target` is the column of the history to learn and the result's field; rows where it is null are left out.
    `features` are the event's fields to learn from, in order; by default numbers, bools and categories (Literal, enums)
    without the key. The estimator sees a DataFrame with the declared dtypes. For classifiers, a bool field gets the
    predicted class, and a float field the probability of the last class. Other fields of the result need a default.
    """
    schema, out = schema_of(In), schema_of(Out)
    wanted = _field_of(out, target, "target", "result")
    chosen = tuple(features) if features is not None else _default_features(schema)
    for feature in chosen:
        _field_of(schema, feature, "features", "event")
    _refuse_other_required(out, target)

    class SklearnModel(Model[In, Out]):  # type: ignore[valid-type]
        Params: ClassVar[Any] = params or _params_of(factory)
        features: ClassVar[tuple[str, ...]] = chosen

        def fit(self, history: Any) -> Self:
            known = history[history[target].notna()]
            self.estimator_ = _made(factory, self.params, self.seed)
            self.estimator_.fit(known[list(chosen)], known[target])
            return self

        def predict(self, frame: Any) -> Any:
            return {target: _predicted(self.estimator_, frame[list(chosen)], wanted)}

    _annotate_with_frames(SklearnModel)
    return _named(SklearnModel, name or f"{out.name}Model")


def torch_model(
    factory: Callable[..., Any],
    In: type,
    Out: type,
    *,
    fit: Callable[..., Any],
    features: Sequence[str] | None = None,
    params: type[Params] | None = None,
    name: str | None = None,
) -> type[Model[Any, Any]]:
    """A Model around a `torch.nn.Module`.

    `factory(**params)` makes the module. `fit(module, X, history, model)` trains it in place: X is a float32 tensor of the features,
    history the DataFrame, model has `params` and `seed`. Answers are `module(X)` without gradients: one column for each
    field of the result, in the declared order. Saved as a state dict, read back with `weights_only=True`.
    """
    schema, out = schema_of(In), schema_of(Out)
    chosen = (
        tuple(features)
        if features is not None
        else tuple(f.name for f in schema if f.kind in _NUMERIC and not f.marks.key)
    )
    for feature in chosen:
        _field_of(schema, feature, "features", "event")
    train = fit

    class TorchModel(Model[In, Out]):  # type: ignore[valid-type]
        Params: ClassVar[Any] = params or Params
        features: ClassVar[tuple[str, ...]] = chosen
        tolerance: ClassVar[float] = 1e-5  # float32, and other sums for other batches

        def fit(self, history: Any) -> Self:
            self.module_ = _made(factory, self.params, None)
            train(self.module_, _tensor(history, chosen), history, self)
            return self

        def predict(self, frame: Any) -> Any:
            torch = _torch()
            self.module_.eval()
            with torch.no_grad():
                answer = self.module_(_tensor(frame, chosen))
            return answer.reshape(len(frame), -1).cpu().numpy()

        def save(self, path: Path) -> None:
            _torch().save(self.module_.state_dict(), path / "module.pt")

        def load(self, path: Path) -> Self:
            self.module_ = _made(factory, self.params, None)
            self.module_.load_state_dict(
                _torch().load(path / "module.pt", weights_only=True, map_location="cpu")
            )
            return self

    _annotate_with_frames(TorchModel)
    return _named(TorchModel, name or f"{out.name}Model")


def pyfunc_model(
    function: Callable[..., Any],
    In: type,
    Out: type,
    *,
    name: str | None = None,
) -> type[Model[Any, Any]]:
    """A Model around a function that needs no training: `pyfunc_model(score, Departure, Estimate)`.

    The annotation of the function's first argument decides what it is given: an event (In) or one of the containers, as for
    `Model.predict`. If it names `ctx` it gets that too.
    """
    from pyrunner.containers import name_for
    from pyrunner.signature import annotation_of

    parameters = list(inspect.signature(function).parameters)
    if not parameters:
        raise UserError(
            f"{function.__name__} takes no event. Write: def {function.__name__}(event: {In.__name__}) -> {Out.__name__}: ..."
        )
    annotation = annotation_of(function, In, parameters[0])
    verb = "predict" if name_for(annotation) is not None else "predict_one"
    if "ctx" in parameters[1:]:

        def method(self: Any, X: Any, *, ctx: Context) -> Any:
            return function(X, ctx=ctx)
    else:

        def method(self: Any, X: Any) -> Any:  # type: ignore[misc]
            return function(X)

    method.__annotations__["X"] = annotation
    method.__annotations__["return"] = annotation_of(function, In, "return")
    body = {verb: method, "__doc__": function.__doc__}
    made = _new_class(Model[In, Out], body)  # type: ignore[valid-type]
    return _named(made, name or "".join(part.title() for part in function.__name__.split("_")))


def _new_class(base: Any, body: dict[str, Any]) -> type[Model[Any, Any]]:
    import types

    return types.new_class("PyFuncModel", (base,), exec_body=lambda namespace: namespace.update(body))


def _named(cls: type[Model[Any, Any]], name: str) -> type[Model[Any, Any]]:
    """Let the class belong to the module that called the adapter, so that manifests can name it."""
    frame = sys._getframe(2)
    cls.__name__ = cls.__qualname__ = name
    cls.__module__ = frame.f_globals.get("__name__", cls.__module__)
    return cls


def _annotate_with_frames(cls: type[Any]) -> None:
    """Texts, because pandas is not imported before it is used."""
    cls.fit.__annotations__["history"] = "pd.DataFrame"
    cls.predict.__annotations__["frame"] = "pd.DataFrame"


def _field_of(schema: EventSchema, name: str, argument: str, what: str) -> FieldSchema:
    if name not in schema.by_name:
        from pyrunner.program.words import unknown

        raise UserError(
            unknown(f"{argument}: the {what} {schema.name} has no field", name, schema.names, "It has")
        )
    return schema.by_name[name]


def _refuse_other_required(out: EventSchema, target: str) -> None:
    others = [f.name for f in out if f.required and f.name != target]
    if others:
        raise UserError(
            f"{out.name}.{others[0]} is required, but sklearn_model fills only {target}. Give it a default, or write a Model class"
        )


def _default_features(schema: EventSchema) -> tuple[str, ...]:
    return tuple(
        f.name
        for f in schema
        if f.kind in (*_NUMERIC, "category") and not (f.marks.key or f.marks.event_time)
    )


def _params_of(factory: Callable[..., Any]) -> type[Params]:
    """The settings of an estimator class, or of a function that makes one, as a Params class."""
    settings = [
        p
        for p in inspect.signature(factory).parameters.values()
        if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)
        and p.default is not p.empty
        and p.name != "random_state"
    ]
    body: dict[str, Any] = {"__annotations__": {p.name: Any for p in settings}, "__module__": __name__}
    body |= {p.name: msgspec.field(default=p.default) for p in settings}
    make: Any = type(Params)
    made: type[Params] = make("Params", (Params,), body)
    return made


def _made(factory: Callable[..., Any], params: Any, seed: int | None) -> Any:
    given = {name: getattr(params, name) for name in params.__struct_fields__}
    if seed is not None and "random_state" in inspect.signature(factory).parameters:
        given["random_state"] = seed
    return factory(**given)


def _predicted(estimator: Any, features: Any, target: FieldSchema) -> Any:
    classifier = hasattr(estimator, "classes_") and hasattr(estimator, "predict_proba")
    if classifier and target.kind == "float":
        return estimator.predict_proba(features)[:, -1]
    return estimator.predict(features)


def _tensor(frame: pd.DataFrame, features: Sequence[str]) -> Any:
    values: np.ndarray[Any, Any] = frame[list(features)].to_numpy(dtype="float32", na_value=float("nan"))
    return _torch().from_numpy(values)


def _torch() -> Any:
    import torch

    return torch
