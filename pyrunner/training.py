"""`train`: seed, fit, evaluate, save. What `ds-runner train` and a notebook both call."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pyrunner import evaluation, history
from pyrunner.context import Context
from pyrunner.errors import UserError
from pyrunner.model import Model, overrides, seed_everything
from pyrunner.models import ModelStore, Version
from pyrunner.schema import schema_of
from pyrunner.signature import named_arguments, read_signature

if TYPE_CHECKING:
    from pyrunner.data import Access

SAMPLE_ROWS = 16


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """A fitted model and what is known of it. `version` is None when no store was given."""

    model: Model[Any, Any]
    rows: int
    seconds: float  # of fit alone
    metrics: dict[str, float]
    baseline: dict[str, float]  # the same metrics for always answering the mean
    version: Version | None = None


def train(
    model_cls: type[Model[Any, Any]],
    data: Any,
    validation: Any = None,
    params: Any = None,
    store: ModelStore | None = None,
    *,
    name: str = "",
    seed: int = 0,
    config_hash: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
    access: Access | None = None,
) -> TrainResult:
    """Fit a model on `data`, evaluate it on `validation`, save it to `store` under `name` as the next version and `latest`.

    `data` and `validation` are paths (parquet, csv, jsonl), queries or data in memory; they are given to `fit` and `evaluate` in the
    container that those are annotated with. `access` is what their `ctx` asks for data. `on_stage` is told "reading", "fitting", "evaluating", "saving". Everything random is
    seeded before `fit`. Raises UserError, and what the model's own code raises.
    """
    signature = read_signature(model_cls)
    model = model_cls(params, seed=seed)
    if not overrides(model_cls, "fit"):
        raise UserError(
            f"{model_cls.__name__} has no fit, so there is nothing to train. Write: def fit(self, history) -> Self: ..."
        )
    on_stage("reading")
    past = history.prepared(data, model_cls.fit, model_cls)
    if history.is_outside(data) and not history.length_of(past):
        raise UserError(f"{data} has no rows: there is nothing to fit")
    later = _validation(validation, model_cls)
    on_stage("fitting")
    model, seconds = _fit(model, past, validation, access)
    on_stage("evaluating")
    metrics = call(model.evaluate, later, model, access) if later is not None else {}
    base = evaluation.baseline(past, later, model_cls) if later is not None else {}
    rows = history.length_of(past)
    saved = None
    if store is not None:
        on_stage("saving")
        saved = store.save(
            name or model_cls.__name__,
            model,
            metrics=metrics,
            baseline=base,
            rows=rows,
            seconds=seconds,
            config_hash=config_hash,
            sample=_sample(later if later is not None else past, signature.input),
        )
    return TrainResult(model, rows, seconds, metrics, base, saved)


def evaluate(model: Model[Any, Any], validation: Any, access: Access | None = None) -> dict[str, float]:
    """The model's metrics over a path or data in memory, prepared as its `evaluate` is annotated."""
    return dict(call(model.evaluate, _validation(validation, type(model)), model, access))


def call(
    method: Callable[..., Any],
    first: Any,
    model: Model[Any, Any],
    access: Access | None = None,
    **others: Any,
) -> Any:
    """Call a model's method with its first argument and, of `ctx` and `others`, those that it names."""
    function = getattr(method, "__func__", method)
    named = {"ctx"} if function is Model.evaluate else named_arguments(function)
    given = {"ctx": Context(seed=model.seed, access=access), **others}
    return method(first, **{name: value for name, value in given.items() if name in named})


def _fit(
    model: Model[Any, Any], past: Any, validation: Any, access: Access | None
) -> tuple[Model[Any, Any], float]:
    fit = type(model).fit
    wants_validation = "validation" in named_arguments(fit)
    given = {}
    if wants_validation:
        given["validation"] = (
            None if validation is None else history.prepared(validation, fit, type(model), "validation")
        )
    seed_everything(model.seed)
    began = time.perf_counter()
    fitted = call(model.fit, past, model, access, **given)
    seconds = time.perf_counter() - began
    if not isinstance(fitted, Model):
        got = type(fitted).__name__
        raise UserError(f"{type(model).__name__}.fit returned {got}, not the model. End it with: return self")
    return fitted, seconds


def _validation(source: Any, cls: type[Model[Any, Any]]) -> Any:
    """Prepared for the class's own evaluate; for the default one in any form that has columns."""
    if source is None:
        return None
    if overrides(cls, "evaluate"):
        return history.prepared(source, cls.evaluate, cls)
    if history.is_outside(source):
        from pyrunner.signature import event_classes

        return history.read(source, [schema_of(c) for c in event_classes(cls)])
    return source


def _sample(data: Any, event_class: type) -> list[bytes]:
    """A few rows as events, for warming up and for `check`. None where the data does not hold the events' fields."""
    schema = schema_of(event_class)
    try:
        payloads = history.payloads_of(_head(data), schema)
    except (TypeError, ValueError, AttributeError):
        return []
    from pyrunner.scoring.decode import EventDecoder

    decoded = EventDecoder(schema).each(payloads)
    return [payloads[row] for row in decoded.rows]


def _head(data: Any) -> Any:
    if hasattr(data, "head"):  # pandas
        return data.head(SAMPLE_ROWS)
    if isinstance(data, Mapping):
        return {name: values[:SAMPLE_ROWS] for name, values in data.items()}
    return data[:SAMPLE_ROWS]
