"""How a model class is to be called, read once from its annotations: `read_signature(FlightDelays)`.

Everything that can be wrong with the class is found here, when it is loaded, all problems at once, with file, line and
what to write instead.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import pathlib
import sys
import types
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args, get_origin

import msgspec

from pyrunner import containers
from pyrunner.errors import UserError
from pyrunner.fields import is_union
from pyrunner.model import Model, overrides
from pyrunner.outcomes import Many
from pyrunner.schema import EventSchema, schema_of

if TYPE_CHECKING:
    from pyrunner.columns.plan import Path, Plan

#: In this order: a class that has several is called by the first.
VERBS = ("predict", "predict_one", "transform")

_MOST_DESCRIBED = 48 * 1024  # PROTOCOL.md, section 2

WANTS = {"keys": 1, "headers": 2, "timestamps": 4}  # the bits of HELLO's `wants`
COLUMNS = 8


@dataclasses.dataclass(frozen=True)
class Signature:
    """A model class as its callers see it."""

    model: type[Model[Any, Any]]
    input_schema: EventSchema
    output_schema: EventSchema
    verb: str
    container: str  # the name of a module of pyrunner.containers; "one" for predict_one
    nulls: bool  # predict takes list[In | None]: null payloads are passed on
    many: bool  # -> Many[...]
    arguments: frozenset[str]  # the keywords that the verb names, of those that we can give
    metadata: int  # bits of HELLO's `wants` for keys, headers and timestamps
    place: str  # science.py:31

    @property
    def input(self) -> type:
        return self.input_schema.cls

    @property
    def output(self) -> type:
        return self.output_schema.cls

    @property
    def wants(self) -> int:
        """HELLO's `wants`."""
        return self.metadata | (COLUMNS if self.path.plan is not None else 0)

    @property
    def tolerance(self) -> float:
        return self.model.tolerance

    @property
    def call(self) -> str:
        """How messages name the method: `FlightDelays.predict`."""
        return f"{self.model.__name__}.{self.verb}"

    @functools.cached_property
    def path(self) -> Path:
        """Whether events and answers go as columns, and why not."""
        from pyrunner.columns.plan import path_of

        path = path_of(self)
        if path.plan is not None and len(self._described(path.plan)) > _MOST_DESCRIBED:
            return dataclasses.replace(
                path, plan=None, reasons=("its schemas and columns do not fit into HELLO",)
            )
        return path

    def describe(self) -> bytes:
        """The JSON that HELLO carries: the JSON Schemas of input and output, by how much two floats may differ, and the columns where
        events go so. Empty where they are larger than HELLO may be."""
        described = self._described(self.path.plan)
        return described if len(described) <= _MOST_DESCRIBED else b""

    def _described(self, plan: Plan | None) -> bytes:
        described: dict[str, Any] = {
            "input": self.input_schema.json_schema(),
            "output": self.output_schema.json_schema(),
            "tolerance": self.tolerance,
        }
        if plan is not None:
            described["columns"] = plan.said
        return msgspec.json.encode(described)

    def types(self) -> dict[str, dict[str, str]]:
        """What a trained model's manifest holds: field types of input and output."""
        return {"input": self.input_schema.types(), "output": self.output_schema.types()}


def read_signature(cls: type[Model[Any, Any]]) -> Signature:
    """The signature of a model class. A UserError lists every problem, one a line."""
    problems: list[str] = []
    schemas: list[EventSchema] = []
    for event_class in event_classes(cls):
        try:
            schemas.append(schema_of(event_class))
        except UserError as e:
            problems.append(str(e))
    verb = next((v for v in VERBS if overrides(cls, v)), None)
    if verb is None:
        problems.append(f"{place_of(cls)} {_no_verb(cls)}")
        raise UserError("\n".join(problems))
    method = getattr(cls, verb)
    place = place_of(method)
    if inspect.iscoroutinefunction(method):
        problems.append(
            f"{place} {cls.__name__}.{verb} is async, and nothing here awaits it. Write def; concurrency: of serve-api has it "
            "called in several threads at a time"
        )
    try:
        container, nulls = _container(cls, verb, method, place)
    except UserError as e:
        problems.append(str(e))
    if problems:
        raise UserError("\n".join(problems))
    arguments = named_arguments(method)
    wanted = WANTS if container == "batch" else cls.metadata
    return Signature(
        cls, schemas[0], schemas[1], verb, container, nulls, _returns_many(method, cls), arguments,
        sum(WANTS[name] for name in wanted), place,
    )  # fmt: skip


def event_classes(cls: type[Model[Any, Any]]) -> tuple[type, type]:
    """In and Out of `class FlightDelays(Model[In, Out])`, also when a base class says it."""
    for base in cls.__mro__:
        for origin in vars(base).get("__orig_bases__", ()):
            if isinstance(get_origin(origin), type) and issubclass(get_origin(origin), Model):
                found = get_args(origin)
                if len(found) == 2 and not any(isinstance(arg, typing.TypeVar) for arg in found):
                    return found
    name = cls.__name__
    raise UserError(
        f"{place_of(cls)} {name} does not say what it takes and gives. Write: class {name}(Model[In, Out]), where In and Out "
        "are event classes."
    )


def named_arguments(method: Callable[..., Any]) -> frozenset[str]:
    """The names of a method's arguments after the first: only what a method names is passed to it."""
    parameters = list(inspect.signature(method).parameters.values())[2:]
    return frozenset(p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def place_of(thing: Any) -> str:
    """`science.py:31`: where a class or method is written; its module's name where there is no source."""
    thing = inspect.unwrap(thing)
    code = getattr(thing, "__code__", None)
    if code is not None:
        return f"{pathlib.Path(code.co_filename).name}:{code.co_firstlineno}"
    try:
        lines, line = inspect.getsourcelines(thing)
        file = inspect.getsourcefile(thing) or thing.__module__
        del lines
        return f"{pathlib.Path(file).name}:{line}"
    except (OSError, TypeError):
        return str(getattr(thing, "__module__", "?"))


def annotation_of(method: Callable[..., Any], cls: type, name: str) -> Any:
    """One annotation of a method, evaluated if it can be, else the text that was written.

    A text remains where the name is only imported for type checkers; the containers know their types by text as well.
    """
    found = inspect.unwrap(method).__annotations__.get(name)
    if not isinstance(found, str):
        return found
    module = sys.modules.get(cls.__module__)
    names = {**vars(typing), **(vars(module) if module else {}), **vars(cls)}
    try:
        return eval(found, getattr(method, "__globals__", {}), names)  # the user's own annotation
    except Exception:
        return found


def _container(cls: type, verb: str, method: Callable[..., Any], place: str) -> tuple[str, bool]:
    if verb == "predict_one":
        return "one", False
    parameters = list(inspect.signature(method).parameters)
    if len(parameters) < 2:
        raise UserError(f"{place} {cls.__name__}.{verb} takes no events. {containers.how_to(cls, verb)}")
    annotation = annotation_of(method, cls, parameters[1])
    name = containers.name_for(annotation)
    if name is None:
        said = (
            "does not say what it takes"
            if annotation is None
            else f"takes {_text(annotation)}, which is unknown here"
        )
        raise UserError(f"{place} {cls.__name__}.{verb} {said}. {containers.how_to(cls, verb)}")
    return name, _takes_nulls(annotation)


def _takes_nulls(annotation: Any) -> bool:
    if isinstance(annotation, str):
        return annotation.replace(" ", "").endswith("|None]")
    arms = get_args(annotation)
    return bool(arms) and is_union(arms[0]) and types.NoneType in get_args(arms[0])


def _returns_many(method: Callable[..., Any], cls: type) -> bool:
    annotation = annotation_of(method, cls, "return")
    if isinstance(annotation, str):
        return annotation.partition("[")[0].rpartition(".")[2] == "Many"
    return annotation is Many or get_origin(annotation) is Many


def _text(annotation: Any) -> str:
    return (
        annotation
        if isinstance(annotation, str)
        else getattr(annotation, "__name__", None) or str(annotation)
    )


def _no_verb(cls: type) -> str:
    return f"{cls.__name__} has no predict. {containers.how_to(cls, 'predict')}"
