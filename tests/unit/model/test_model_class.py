"""The model class by itself: params, seed, and how its signature is read."""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from pyrunner import Batch, Event, Field, Many, Model, Params, UserError
from pyrunner.model import seed_everything
from pyrunner.signature import read_signature

if TYPE_CHECKING:
    import pyarrow as pa


class In(Event):
    x: float


class Out(Event):
    y: float


class Settings(Params):
    shrink: Annotated[float, Field(ge=0)] = 50.0
    names: list[str] = msgspec.field(default_factory=list)


class Echo(Model[In, Out]):
    Params = Settings

    def predict(self, events: list[In]) -> list[Out]:
        return [Out(y=e.x) for e in events]


def test_params_come_from_keywords_a_mapping_or_an_instance() -> None:
    assert Echo().params == Settings()
    assert Echo(shrink=3).params.shrink == 3.0
    assert Echo({"shrink": 3}).params.shrink == 3.0
    assert Echo({"shrink": "3"}).params.shrink == 3.0
    assert Echo(Settings(shrink=4.0), names=["a"]).params == Settings(shrink=4.0, names=["a"])


def test_a_wrong_param_is_told_by_name() -> None:
    with pytest.raises(UserError, match=r"Echo.Params: Expected `float` >= 0.0 - at `shrink`"):
        Echo(shrink=-1)
    with pytest.raises(
        UserError, match=r'no parameter "shrnk". Declared: shrink, names. Did you mean shrink\?'
    ):
        Echo(shrnk=1)
    with pytest.raises(UserError, match="not int"):
        Echo(5)


def test_an_init_of_the_users_own_need_not_call_ours() -> None:
    class Own(Echo):
        def __init__(self) -> None:
            self.cache = 1

    assert (Own().params, Own().seed, Own().learnt()) == (Settings(), 0, {"cache": 1})


def test_seeding_reaches_random_and_numpy() -> None:
    import random

    seed_everything(7)
    first = (random.random(), np.random.rand())
    seed_everything(7)
    assert (random.random(), np.random.rand()) == first


class Batched(Model[In, Out]):
    def predict(self, events: Batch[In]) -> list[Out]: ...


class Framed(Model[In, Out]):
    def predict(self, frame: pd.DataFrame, *, ctx: Any) -> pd.DataFrame: ...


class Tabled(Model[In, Out]):
    def predict(self, table: pa.Table) -> pa.Table: ...  # a name for type checkers only


class Arrays(Model[In, Out]):
    def predict(self, columns: dict[str, np.ndarray]) -> np.ndarray: ...


class Nullable(Model[In, Out]):
    metadata = ("keys",)

    def predict(self, events: list[In | None]) -> list[Out | None]: ...


class Multiplies(Model[In, Out]):
    def predict(self, frame: pd.DataFrame) -> Many[pd.DataFrame]: ...


class One(Model[In, Out]):
    def predict_one(self, event: In) -> Out: ...


class Extracts(Model[In, Out]):
    def transform(self, frame: pd.DataFrame) -> pd.DataFrame: ...


class Inherits(Framed):
    pass


@pytest.mark.parametrize(
    ("cls", "verb", "container", "wants"),
    [
        (Echo, "predict", "list", 0),
        (Batched, "predict", "batch", 7),
        (Framed, "predict", "pandas", 8),
        (Tabled, "predict", "arrow", 8),
        (Arrays, "predict", "numpy", 8),
        (Nullable, "predict", "list", 1),
        (One, "predict_one", "one", 0),
        (Extracts, "transform", "pandas", 8),
        (Inherits, "predict", "pandas", 8),
    ],
)
def test_the_annotation_decides_the_container(cls: type, verb: str, container: str, wants: int) -> None:
    signature = read_signature(cls)
    assert (signature.verb, signature.container, signature.wants) == (verb, container, wants)
    assert (signature.input, signature.output) == (In, Out)


def test_nulls_many_and_named_arguments_are_seen() -> None:
    assert read_signature(Nullable).nulls
    assert not read_signature(Echo).nulls
    assert read_signature(Multiplies).many
    assert read_signature(Framed).arguments == {"ctx"}
    assert b'"output"' in read_signature(Echo).describe()


def test_a_description_that_is_too_large_for_the_wire_is_left_out() -> None:
    fields = {f"field_{i}": Annotated[float, Field(description="x" * 100)] for i in range(500)}
    wide = types.new_class("Wide", (Event,), exec_body=lambda ns: ns.update(__annotations__=fields))

    def predict(self: Any, events: list[Any]) -> list[Any]:
        return events

    cls = types.new_class("OfWide", (Model[wide, Out],), exec_body=lambda ns: ns.update(predict=predict))
    assert read_signature(cls).describe() == b""


def test_mistakes_in_the_class_say_where_and_what_to_write() -> None:
    class Bare(Model[In, Out]):
        def predict(self, events): ...  # type: ignore[no-untyped-def]

    class Strange(Model[In, Out]):
        def predict(self, events: set[In]) -> Any: ...

    class Nothing(Model[In, Out]):
        pass

    class Untold(Model):  # type: ignore[type-arg]
        def predict(self, events: list[In]) -> Any: ...

    place = r"test_model_class.py:\d+ "
    with pytest.raises(
        UserError, match=place + r"Bare.predict does not say what it takes. Write one of: .*list\[In\]"
    ):
        read_signature(Bare)
    with pytest.raises(UserError, match=place + r"Strange.predict takes set"):
        read_signature(Strange)
    with pytest.raises(UserError, match=place + "Nothing has no predict. Write"):
        read_signature(Nothing)
    with pytest.raises(
        UserError, match=place + r"Untold does not say .* Write: class Untold\(Model\[In, Out\]\)"
    ):
        read_signature(Untold)


def test_all_problems_come_at_once() -> None:
    class Broken(Model[dict, int]):
        def predict(self, events): ...  # type: ignore[no-untyped-def]

    with pytest.raises(UserError) as e:
        read_signature(Broken)
    assert len(str(e.value).splitlines()) == 3


def test_an_async_predict_is_refused_and_says_what_to_write():
    class Awaits(Model[In, Out]):
        async def predict(self, events: list[In]) -> list[Out]:
            return []

    with pytest.raises(UserError, match=r"Awaits\.predict is async.*Write def; concurrency:"):
        read_signature(Awaits)
