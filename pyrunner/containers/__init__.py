"""What predict is given: one module a container, chosen once, when a model is loaded, by the annotation of predict's first argument.

    list_.py    list[In]                  the events themselves
    batch_.py   Batch[In]                 the events with keys, timestamps, headers, ids
    pandas_.py  pd.DataFrame              dtypes by the declaration
    arrow_.py   pa.Table
    numpy_.py   dict[str, np.ndarray]
    one_.py     predict_one(event)        one call an event

Each is a `Container` (base.py): `build` makes it from a batch and `outcomes` reads the model's answer back, one outcome an event.
They know events and columns, neither JSON nor the wire. A module is imported only when its container is used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_origin

from pyrunner.batch import Batch

if TYPE_CHECKING:
    from pyrunner.containers.base import Container
    from pyrunner.signature import Signature


def name_for(annotation: Any) -> str | None:
    """The container that an annotation asks for; None if it is none of ours."""
    return next((name for name, matches in _MATCHES.items() if matches(annotation)), None)


def load(signature: Signature) -> Container:
    """The container of a model, made for its classes."""
    module = importlib.import_module(f"pyrunner.containers.{signature.container}_")
    container: Container = module.CONTAINER(signature)
    return container


def how_to(cls: type, verb: str) -> str:
    """What to write as the first argument, for error messages."""
    name = _input_name(cls)
    return (
        f"Write one of: def {verb}(self, events: list[{name}]), events: Batch[{name}], frame: pd.DataFrame, table: pa.Table, "
        "columns: dict[str, np.ndarray]."
    )


def _input_name(cls: type) -> str:
    for origin in getattr(cls, "__orig_bases__", ()):
        if get_args(origin):
            return getattr(get_args(origin)[0], "__name__", "In")
    return "In"


def _is_list(annotation: Any) -> bool:
    return annotation is list or get_origin(annotation) is list or _reads(annotation, r"list\[.*")


def _is_batch(annotation: Any) -> bool:
    return (
        annotation is Batch or get_origin(annotation) is Batch or _reads(annotation, r"(\w+\.)*Batch(\[.*)?")
    )


def _is_frame(annotation: Any) -> bool:
    return _is_type(annotation, "pandas", "DataFrame") or _reads(annotation, r"(\w+\.)*DataFrame")


def _is_table(annotation: Any) -> bool:
    return _is_type(annotation, "pyarrow", "Table") or _reads(annotation, r"(\w+\.)*Table")


def _is_columns(annotation: Any) -> bool:
    if _reads(annotation, r"dict\[str, *(\w+\.)*(ndarray|NDArray).*"):
        return True
    values = get_args(annotation)[1:]
    return get_origin(annotation) is dict and "ndarray" in str(values)


def _is_type(annotation: Any, package: str, name: str) -> bool:
    return (
        isinstance(annotation, type)
        and annotation.__name__ == name
        and annotation.__module__.partition(".")[0] == package
    )


def _reads(annotation: Any, pattern: str) -> bool:
    return isinstance(annotation, str) and re.fullmatch(pattern, annotation.strip()) is not None


_MATCHES: dict[str, Callable[[Any], bool]] = {
    "list": _is_list,
    "batch": _is_batch,
    "pandas": _is_frame,
    "arrow": _is_table,
    "numpy": _is_columns,
}
