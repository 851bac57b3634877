"""Trained models in a bucket: whole or not at all, fetched once, verified, gone on with after an interruption."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from pyrunner import Event, Model, UserError
from pyrunner.data import Access, DataError
from pyrunner.models.remote import RemoteStore
from pyrunner.testing import FakeData
from pyrunner.testing.run_model import InProcess


class Number(Event):
    x: float


class Mean(Model[Number, Number]):
    def fit(self, history: Any) -> Mean:
        self.mean_ = history
        return self

    def predict(self, events: list[Number]) -> list[Number]:
        return [Number(x=self.mean_) for _ in events]


@pytest.fixture
def data() -> FakeData:
    return FakeData(objects={"models": {}})


def store(data: FakeData, cache: Path) -> RemoteStore:
    return RemoteStore(cache, "models", lambda: nullcontext(Access(InProcess(data), {"models": "s3"})))


def test_what_one_machine_trains_another_loads(data: FakeData, tmp_path: Path) -> None:
    here, there = store(data, tmp_path / "here"), store(data, tmp_path / "there")
    assert here.save("mean", Mean().fit(3.0), sample=[b'{"x":1}'], metrics={"rmse": 1.0}).version == "1"
    assert here.save("mean", Mean().fit(4.0)).version == "2"
    loaded = there.load("mean", cls=Mean)
    assert (loaded.model.mean_, loaded.version) == (4.0, "2")  # type: ignore[attr-defined]
    first = there.load("mean", "1", Mean)
    assert (
        first.sample == (b'{"x":1}',)
        and first.manifest is not None
        and first.manifest.metrics == {"rmse": 1.0}
    )
    assert [v.version for v in there.list("mean")] == ["1", "2"] and there.names() == ["mean"]


def test_two_machines_count_together_and_aliases_are_shared(data: FakeData, tmp_path: Path) -> None:
    here, there = store(data, tmp_path / "here"), store(data, tmp_path / "there")
    here.save("mean", Mean().fit(1.0))
    assert there.save("mean", Mean().fit(2.0)).version == "2"
    here.alias("mean", "production", "1")
    assert there.aliases("mean") == {"latest": "2", "production": "1"}
    assert there.load("mean", "production", Mean).version == "1"


def test_of_two_trainings_that_end_at_once_each_has_a_number(data: FakeData, tmp_path: Path) -> None:
    here, there = store(data, tmp_path / "here"), store(data, tmp_path / "there")
    answer = data.answer

    def meanwhile(method: str, args: Any, lease: Any = None) -> Any:
        if method == "objects.begin" and "/versions/1" in args[1]:
            data.answer = answer  # type: ignore[method-assign]
            there.save("mean", Mean().fit(1.0))
        return answer(method, args, lease)

    data.answer = meanwhile  # type: ignore[method-assign]
    assert here.save("mean", Mean().fit(2.0)).version == "2"
    assert [here.load("mean", n, Mean).model.mean_ for n in ("1", "2")] == [1.0, 2.0]  # type: ignore[attr-defined]


def test_a_number_that_nobody_can_take_ends_a_training(data: FakeData, tmp_path: Path) -> None:
    answer = data.answer

    def never_listed(method: str, args: Any, lease: Any = None) -> Any:
        if method == "objects.begin" and "/versions/" in args[1]:
            raise DataError(method, "exists", "there is an object of this key already", retry=False)
        return answer(method, args, lease)

    data.answer = never_listed  # type: ignore[method-assign]
    with pytest.raises(UserError, match=r"mean/versions/1\.json"):
        store(data, tmp_path).save("mean", Mean().fit(1.0))


def test_a_version_is_fetched_once(data: FakeData, tmp_path: Path) -> None:
    store(data, tmp_path / "here").save("mean", Mean().fit(1.0))
    there = store(data, tmp_path / "there")
    there.load("mean", cls=Mean)
    data.calls.clear()
    there.load("mean", cls=Mean)
    payload = next(key for key in data.objects["models"] if "/files/" in key)
    assert data.calls.count("objects.get") == 2, "alias and manifest, no payload"
    assert payload


def test_the_cache_is_not_believed_when_the_bucket_says_otherwise(data: FakeData, tmp_path: Path) -> None:
    here = store(data, tmp_path / "cache")
    here.save("mean", Mean().fit(1.0))
    data.objects["models"].clear()
    store(data, tmp_path / "other").save("mean", Mean().fit(2.0))
    assert here.load("mean", cls=Mean).model.mean_ == 2.0  # type: ignore[attr-defined]


def test_a_damaged_payload_is_refused(data: FakeData, tmp_path: Path) -> None:
    store(data, tmp_path / "here").save("mean", Mean().fit(1.0))
    for key in data.objects["models"]:
        if "/files/" in key:
            data.objects["models"][key] = data.objects["models"][key][::-1]
    there = store(data, tmp_path / "there")
    for _ in range(2):
        with pytest.raises(UserError, match="in the bucket models is not the file that was trained"):
            there.load("mean", cls=Mean)
    assert not list((tmp_path / "there").rglob("*.pickle"))


def test_a_training_that_ends_early_leaves_no_version(data: FakeData, tmp_path: Path) -> None:
    here = store(data, tmp_path / "here")
    answer = data.answer

    def refuse_manifest(method: str, args: Any, lease: Any = None) -> Any:
        if method == "objects.begin" and "/versions/" in args[1]:
            raise ConnectionError("the machine is gone")
        return answer(method, args, lease)

    data.answer = refuse_manifest  # type: ignore[method-assign]
    with pytest.raises(ConnectionError):
        here.save("mean", Mean().fit(1.0))
    data.answer = answer  # type: ignore[method-assign]
    with pytest.raises(
        UserError, match=r"no trained model for mean in the bucket models\. Run: ds-runner train"
    ):
        store(data, tmp_path / "there").load("mean", cls=Mean)


def test_a_manifest_that_leads_out_of_its_folder_is_refused(data: FakeData, tmp_path: Path) -> None:
    store(data, tmp_path / "here").save("mean", Mean().fit(1.0))
    key = "mean/versions/1.json"
    data.objects["models"][key] = data.objects["models"][key].replace(b"state.pickle", b"../../evil.pickle")
    with pytest.raises(UserError, match=r"\.\./\.\./evil\.pickle, which is outside of its model"):
        store(data, tmp_path / "there").load("mean", cls=Mean)
    assert not list(tmp_path.rglob("evil*"))


def test_an_unreachable_bucket_is_an_outage(data: FakeData, tmp_path: Path) -> None:
    data.outage = True
    with pytest.raises(DataError) as down:
        store(data, tmp_path / "here").load("mean", cls=Mean)
    assert down.value.retry
