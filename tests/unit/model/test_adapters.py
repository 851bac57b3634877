"""Existing models in three lines."""

import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from pyrunner import (
    Context,
    Event,
    Key,
    ModelStore,
    Reject,
    UserError,
    check_model,
    pyfunc_model,
    sklearn_model,
    torch_model,
    train,
)  # fmt: skip
from pyrunner.scoring import Scorer


class Departure(Event):
    flight: Annotated[str, Key()]
    origin: Literal["EWR", "JFK", "LGA"]
    distance: float
    delay: float | None = None


class Delay(Event):
    late: float


class Late(Event):
    is_late: bool


class Numbers(Event):
    a: float
    b: float


Trees = sklearn_model(HistGradientBoostingRegressor, Departure, Delay, target="late", name="Trees")
Linear = sklearn_model(Ridge, Numbers, Delay, target="late", name="Linear")


def flights(n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {
            "flight": [str(i) for i in range(n)],
            "origin": rng.choice(["EWR", "JFK", "LGA"], n),
            "distance": rng.uniform(100, 2000, n),
            "delay": np.where(rng.random(n) < 0.1, np.nan, rng.normal(10, 20, n)),
        }
    )
    frame["late"] = frame.delay.fillna(0) + np.where(frame.origin == "LGA", 10, 0)
    frame.loc[0, "late"] = np.nan
    return frame


def test_an_estimator_is_trained_saved_and_asked_like_any_model(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    result = train(Trees, flights(), flights(), {"max_iter": 20}, store, name="trees", seed=5)
    assert result.metrics["rmse"] < result.baseline["rmse"] / 2
    model: Any = store.load("trees", cls=Trees).model
    assert (model.params.max_iter, model.estimator_.random_state, model.features) == (
        20,
        5,
        ("origin", "distance", "delay"),
    )
    scored = Scorer(model).score(
        [b'{"flight":"1","origin":"LGA","distance":500}', b'{"flight":"2","origin":"BOS","distance":5}']
    )
    assert len(scored.split()) == 1
    assert [e.code for e in scored.errors] == ["invalid_event"]
    assert check_model(model, flights(20)).ok


def test_the_class_belongs_to_the_module_that_made_it() -> None:
    assert (Trees.__name__, Trees.__module__) == ("Trees", __name__)
    assert sklearn_model(Ridge, Numbers, Delay, target="late").__name__ == "DelayModel"


def test_settings_of_the_estimator_are_params() -> None:
    assert Linear(alpha=3.0).params.alpha == 3.0
    with pytest.raises(UserError, match=r'no parameter "alhpa".*Did you mean alpha\?'):
        Linear(alhpa=3.0)


def test_a_factory_is_a_function_as_well() -> None:
    def ridge(alpha: float = 1.0, random_state: int = 0) -> Ridge:
        return Ridge(alpha=alpha, random_state=random_state)

    cls = sklearn_model(ridge, Numbers, Delay, target="late", features=["b"])
    model: Any = cls(alpha=0.0, seed=4).fit(pd.DataFrame({"a": [1.0, 2], "b": [1.0, 2], "late": [2.0, 4]}))
    assert (model.estimator_.alpha, model.estimator_.random_state) == (0.0, 4)
    assert Scorer(model).score([b'{"a": 9, "b": 3}']).split() == [b'{"late":6.0}']


def test_a_classifier_gives_its_class_or_its_probability() -> None:
    frame = pd.DataFrame(
        {
            "a": [0.0, 1, 10, 11],
            "b": [0.0, 0, 0, 0],
            "is_late": [False, False, True, True],
            "late": [0, 0, 1, 1],
        }
    )
    by_class: Any = sklearn_model(LogisticRegression, Numbers, Late, target="is_late")().fit(frame)
    assert Scorer(by_class).score([b'{"a": 12, "b": 0}']).split() == [b'{"is_late":true}']
    by_share: Any = sklearn_model(LogisticRegression, Numbers, Delay, target="late")().fit(frame)
    (share,) = Scorer(by_share).score_events([Numbers(a=12.0, b=0.0)]).outputs
    assert 0.9 < share.late < 1


def test_wrong_names_are_told_when_the_class_is_made() -> None:
    with pytest.raises(
        UserError, match=r'target: the result Delay has no field "lat". It has: late. Did you mean late\?'
    ):
        sklearn_model(Ridge, Numbers, Delay, target="lat")
    with pytest.raises(UserError, match=r'features: the event Numbers has no field "c"'):
        sklearn_model(Ridge, Numbers, Delay, target="late", features=["c"])
    with pytest.raises(UserError, match=r"Numbers.b is required, but sklearn_model fills only a"):
        sklearn_model(Ridge, Numbers, Numbers, target="a")


def by_event(event: Numbers) -> Delay | Reject:
    return Reject("none") if event.a == 0 else Delay(late=event.a / event.b)


def by_list(events: list[Numbers], *, ctx: Context) -> list[Delay]:
    assert ctx.n == len(events)
    return [Delay(late=e.a) for e in events]


def by_arrays(columns: dict[str, np.ndarray]) -> np.ndarray:
    return columns["a"] + columns["b"]


def test_a_function_is_a_model_by_its_first_annotation() -> None:
    ask = [b'{"a":1,"b":2}', b'{"a":0,"b":1}', b'{"a":1,"b":0}']
    one = pyfunc_model(by_event, Numbers, Delay)
    assert (one.__name__, one.__module__) == ("ByEvent", __name__)
    scored = Scorer(one()).score(ask)
    assert (scored.split(), [e.code for e in scored.errors]) == ([b'{"late":0.5}'], ["rejected", "exception"])
    assert [
        Scorer(pyfunc_model(f, Numbers, Delay)()).score(ask[:1]).split() for f in (by_list, by_arrays)
    ] == [
        [b'{"late":1.0}'],
        [b'{"late":3.0}'],
    ]
    with pytest.raises(UserError, match="takes no event"):
        pyfunc_model(lambda: None, Numbers, Delay)


class FakeTensor(np.ndarray):
    def cpu(self) -> "FakeTensor":
        return self

    def numpy(self) -> np.ndarray:
        return np.asarray(self)


class FakeModule:
    """What torch_model uses of torch.nn.Module."""

    def __init__(self) -> None:
        self.weight = 0.0
        self.training = True

    def __call__(self, x: Any) -> Any:
        assert not self.training
        return (x.sum(axis=1, keepdims=True) * self.weight).view(FakeTensor)

    def eval(self) -> None:
        self.training = False

    def state_dict(self) -> dict[str, float]:
        return {"weight": self.weight}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.weight = state["weight"]


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import contextlib
    import json

    torch: Any = types.ModuleType("torch")
    torch.no_grad = contextlib.nullcontext
    torch.from_numpy = lambda values: values.view(FakeTensor)
    torch.manual_seed = lambda seed: None

    def save(state: Any, path: Path) -> None:
        path.write_text(json.dumps(state))

    def load(path: Path, *, weights_only: bool, map_location: str) -> Any:
        assert weights_only
        assert map_location == "cpu"
        return json.loads(path.read_text())

    torch.save, torch.load = save, load
    monkeypatch.setitem(sys.modules, "torch", torch)


def set_weight(module: Any, X: Any, history: pd.DataFrame, model: Any) -> None:
    assert X.dtype == np.float32
    module.weight = float(history.late.mean())


def test_a_torch_module_is_trained_saved_without_pickle_and_asked(fake_torch: None, tmp_path: Path) -> None:
    cls = torch_model(FakeModule, Numbers, Delay, fit=set_weight, name="Net")
    frame = pd.DataFrame({"a": [1.0, 2], "b": [1.0, 2], "late": [2.0, 4]})
    store = ModelStore(tmp_path)
    train(cls, frame, None, None, store, name="net")
    loaded = store.load("net", cls=cls)
    assert loaded.manifest is not None
    assert set(loaded.manifest.files) == {"module.pt", "sample.jsonl"}
    assert Scorer(loaded.model).score([b'{"a":1,"b":2}']).split() == [b'{"late":9.0}']
    assert check_model(loaded.model, frame).ok
