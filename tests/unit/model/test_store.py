"""Trained models on disk: published as a whole, never changed, refused when anything no longer fits."""

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Literal, Self

import pytest

from pyrunner import Event, Model, ModelStore, Params, UserError
from pyrunner.models import manifest as manifests
from pyrunner.models.payload import refuse_main


class Question(Event):
    x: float
    kind: Literal["a", "b"] = "a"


class Answer(Event):
    y: float


class Line(Model[Question, Answer]):
    class Params(Params):
        degree: int = 1

    def fit(self, history: Any) -> Self:
        self.slope_ = float(history)
        return self

    def predict(self, events: list[Question]) -> list[Answer]:
        return [Answer(y=e.x * self.slope_) for e in events]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models")


def trained(slope: float = 2.0) -> Line:
    return Line(degree=3, seed=7).fit(slope)


def test_what_was_saved_is_loaded(store: ModelStore) -> None:
    version = store.save(
        "line", trained(), metrics={"rmse": 1.5}, rows=10, sample=[b'{"x":1}'], config_hash="c0ffee"
    )
    loaded = store.load("line", cls=Line)
    assert isinstance(loaded.model, Line)
    assert (loaded.model.slope_, loaded.model.params.degree, loaded.model.seed) == (2.0, 3, 7)
    assert (loaded.version, loaded.sample) == ("1", (b'{"x":1}',))
    assert version.path == store.root / "line" / "1"
    assert store.load("line").model.slope_ == 2.0  # type: ignore[attr-defined]  # the class that the manifest names


def test_the_manifest_says_all_that_is_known(store: ModelStore) -> None:
    folder = store.save(
        "line", trained(), metrics={"rmse": 1.5}, baseline={"rmse": 3.0}, rows=10, config_hash="c0ffee"
    ).path
    known = json.loads((folder / "manifest.json").read_text())
    assert set(known) == set(manifests.Manifest.__struct_fields__)
    assert known["files"] == {"state.pickle": manifests.sha256(folder / "state.pickle")}
    assert known["params"] == {"degree": 3}
    assert known["input"] == {"x": "float64", "kind": "category[a, b]"}
    assert known["output"] == {"y": "float64"}
    assert known["model"].endswith("test_store:Line")
    assert (known["metrics"], known["baseline"]) == ({"rmse": 1.5}, {"rmse": 3.0})
    assert known["created"].endswith("Z")
    assert known["libraries"]["python"].startswith("3.")
    assert "msgspec" in known["libraries"]


def test_the_commit_is_recorded_and_says_when_files_differ_from_it(tmp_path: Path) -> None:
    from pyrunner.models.provenance import git_commit

    (tmp_path / "science_in_git.py").write_text("class Line: pass\n")

    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init")
    sys.path.insert(0, str(tmp_path))
    try:
        import science_in_git  # type: ignore[import-not-found]

        assert git_commit(science_in_git.Line) == ""
        git("add", "science_in_git.py")
        git("commit", "-m", "first")
        clean = git_commit(science_in_git.Line)
        assert len(clean) == 40
        (tmp_path / "science_in_git.py").write_text("class Line: x = 1\n")
        assert git_commit(science_in_git.Line) == f"{clean}-dirty"
    finally:
        sys.path.remove(str(tmp_path))


def test_versions_count_up_and_latest_follows(store: ModelStore) -> None:
    for slope in (1.0, 2.0, 3.0):
        store.save("line", trained(slope))
    assert [v.version for v in store.list("line")] == ["1", "2", "3"]
    assert store.aliases("line") == {"latest": "3"}
    assert store.load("line", "2", Line).model.slope_ == 2.0  # type: ignore[attr-defined]
    assert store.names() == ["line"]


def test_aliases_move_and_are_checked(store: ModelStore) -> None:
    store.save("line", trained(1.0))
    store.save("line", trained(2.0), aliases=())
    store.alias("line", "prod", "2")
    assert store.aliases("line") == {"latest": "1", "prod": "2"}
    assert store.load("line", "prod").version == "2"
    store.alias("line", "prod", "latest")
    assert store.load("line", "prod").version == "1"
    with pytest.raises(
        UserError, match=r"no model 9 of line in .*models/. Versions: 1, 2. Aliases: latest -> 1, prod -> 1"
    ):
        store.alias("line", "prod", "9")
    for bad in ("5", "../up", "", ".hidden", "a/b"):
        with pytest.raises(UserError, match="cannot be an alias"):
            store.alias("line", bad, "1")


def test_no_trained_model_says_what_to_run(store: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(store.root.parent)
    with pytest.raises(UserError, match=r"^no trained model for line in models/. Run: ds-runner train$"):
        store.load("line", cls=Line)
    with pytest.raises(UserError, match="cannot be the name of a model"):
        store.load("../line")


def test_a_class_with_nothing_to_fit_needs_no_training(store: ModelStore) -> None:
    class Fixed(Model[Question, Answer]):
        def predict(self, events: list[Question]) -> list[Answer]:
            return [Answer(y=e.x) for e in events]

    loaded = store.load("fixed", cls=Fixed, seed=3)
    assert (type(loaded.model), loaded.model.seed, loaded.version, loaded.manifest) == (
        Fixed,
        3,
        "untrained",
        None,
    )
    with pytest.raises(UserError, match="no trained model for fixed"):
        store.load("fixed", "2", Fixed)


class TestRefused:
    @pytest.fixture
    def folder(self, store: ModelStore) -> Path:
        return store.save("line", trained()).path

    def test_a_payload_that_is_not_the_one_that_was_trained(self, store: ModelStore, folder: Path) -> None:
        ran = folder.parent / "ran"

        class Evil:
            def __reduce__(self) -> Any:
                return (os.mkdir, (str(ran),))

        (folder / "state.pickle").write_bytes(pickle.dumps(Evil()))
        with pytest.raises(
            UserError, match=r"state.pickle is not the file that was trained: its hash is not in the manifest"
        ):
            store.load("line", cls=Line)
        assert not ran.exists()

    def test_a_file_too_many_or_too_few(self, store: ModelStore, folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "extra.bin").write_bytes(b"")
        (folder / "state.pickle").unlink()
        with pytest.raises(UserError) as e:
            store.load("line", cls=Line)
        missing, extra = str(e.value).splitlines()
        assert "state.pickle is missing. Restore it, train again, or pin another model" in missing
        assert "sub/extra.bin is not in the manifest" in extra

    def test_a_link_to_somewhere_else(self, store: ModelStore, folder: Path) -> None:
        target = folder.parent.parent / "elsewhere"
        (folder / "state.pickle").rename(target)
        (folder / "state.pickle").symlink_to(target)
        with pytest.raises(UserError, match="is no plain file"):
            store.load("line", cls=Line)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "line"}'])
    def test_a_damaged_manifest(self, store: ModelStore, folder: Path, text: str) -> None:
        (folder / "manifest.json").write_text(text)
        with pytest.raises(UserError, match=r"manifest.json is damaged"):
            store.load("line", cls=Line)

    def test_a_manifest_of_a_later_format_or_none(self, store: ModelStore, folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
        with pytest.raises(UserError, match="newer ds-runner"):
            store.load("line", cls=Line)
        path.unlink()
        with pytest.raises(UserError, match=r"has no manifest.json"):
            store.load("line", cls=Line)

    def test_a_class_whose_fields_have_changed(self, store: ModelStore, folder: Path) -> None:
        class Changed(Event):
            x: str
            extra: int
            kind: Literal["a", "b"] = "a"

        with pytest.raises(UserError) as e:
            store.load("line", cls=renamed(Changed, Answer))
        assert str(e.value).splitlines() == [
            "model 1 was trained with x: float64, the class now has str. Retrain: ds-runner train",
            "model 1 was trained without extra, which Changed now requires. Retrain: ds-runner train",
        ]

    def test_a_field_that_is_gone_and_another_result(self, store: ModelStore, folder: Path) -> None:
        class Less(Event):
            x: float

        class Whole(Event):
            y: int

        with pytest.raises(UserError) as e:
            store.load("line", cls=renamed(Less, Whole))
        assert "was trained with kind, Less no longer has it" in str(e.value)
        assert "was trained with y: float64, the class now has int64" in str(e.value)

    def test_an_older_model_that_fits_is_offered(self, store: ModelStore, folder: Path) -> None:
        class Text(Event):
            x: str

        class OfText(Model[Text, Answer]):
            def fit(self, history: Any) -> Self:
                return self

            def predict(self, events: list[Text]) -> list[Answer]:
                return []

        OfText.__qualname__ = "Line"
        store.save("line", OfText())
        with pytest.raises(
            UserError,
            match=r"model 2 was trained with x: str, the class now has float64. Retrain, or pin --model 1$",
        ):
            store.load("line", cls=Line)
        assert store.load("line", "1", Line).version == "1"

    def test_another_class(self, store: ModelStore, folder: Path) -> None:
        class Curve(Line):
            pass

        with pytest.raises(UserError, match=r"model 1 is a Line, the program's class is .*Curve"):
            store.load("line", cls=Curve)

    def test_params_that_the_class_no_longer_has(self, store: ModelStore, folder: Path) -> None:
        class Other(Line):
            class Params(Params):
                order: int = 1

        Other.__qualname__ = "Line"
        with pytest.raises(UserError, match=r'model 1 does not fit Line|no parameter "degree"'):
            store.load("line", cls=Other)


def renamed(taken: type, given: type) -> type[Model[Any, Any]]:
    class Other(Model[taken, given]):  # type: ignore[valid-type]
        Params = Line.Params

        def fit(self, history: Any) -> Self:
            return self

        def predict(self, events: list[Any]) -> list[Any]:
            return []

    Other.__qualname__ = "Line"
    return Other


def test_a_new_optional_field_is_no_reason_to_train_again(store: ModelStore) -> None:
    class More(Event):
        x: float
        kind: Literal["a", "b"] = "a"
        extra: int | None = None

    store.save("line", trained())
    assert store.load("line", cls=renamed(More, Answer)).version == "1"


def test_an_attribute_that_cannot_be_saved_is_named_and_nothing_is_left(store: ModelStore) -> None:
    model = trained()
    model.client_ = socket.socket()  # type: ignore[attr-defined]
    with pytest.raises(
        UserError, match=r"Line: attribute client_ \(a socket\) cannot be saved: .* Make it in Line.warm_up"
    ):
        store.save("line", model)
    model.client_.close()  # type: ignore[attr-defined]
    assert list((store.root / "line").iterdir()) == []


def test_what_only_exists_in_a_script_or_notebook_is_refused(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom pyrunner import *\n"
        "class Q(Event):\n    x: float\n"
        "class Gain: pass\n"
        "class Line(Model[Q, Q]):\n"
        "    def fit(self, h):\n        self.gain_ = {'UA': Gain()}\n        return self\n"
        "    def predict(self, events: list[Q]) -> list[Q]:\n        return events\n"
        "model = Line().fit(1)\n"
        "model.save(Path(sys.argv[1]))\n"
        "try:\n    ModelStore(Path(sys.argv[1])).save('line', model)\n"
        "except UserError as e:\n    print(e)\n"
    )
    folder = tmp_path / "payload"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(folder)], capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert "Line is defined in a script or notebook (__main__)" in done.stdout, done.stderr
    with pytest.raises(UserError, match=r"state.pickle holds __main__.Gain, .* Move it into a module"):
        refuse_main(folder)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_main_is_found_in_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    import __main__

    class Gain:
        pass

    Gain.__module__, Gain.__qualname__ = "__main__", "Gain"
    __main__.Gain = Gain  # type: ignore[attr-defined]
    try:
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(["__main__", {"a": Gain()}], protocol=protocol))
    finally:
        del __main__.Gain  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"__main__.Gain"):
        refuse_main(tmp_path)


def test_a_text_that_says_main_is_no_class_of_main(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"__main__": "Gain", "x": ["__main__", "y"]}))
    refuse_main(tmp_path)


def test_writers_at_the_same_time_take_different_numbers(store: ModelStore) -> None:
    errors: list[BaseException] = []

    def save(slope: float) -> None:
        try:
            store.save("line", trained(slope))
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=save, args=(float(i),)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(timeout=300)
    assert errors == []
    assert [v.version for v in store.list("line")] == [str(n) for n in range(1, 9)]
    assert sorted(store.load("line", v.version, Line).model.slope_ for v in store.list("line")) == list(
        range(8)
    )  # type: ignore[attr-defined]
    assert not [p for p in (store.root / "line").iterdir() if p.name.startswith(".")]


class Own(Line):
    """Saves in its own way, and loads by a class method."""

    def save(self, path: Path) -> None:
        (path / "slope.txt").write_text(str(self.slope_))

    @classmethod
    def load(cls, path: Path) -> "Own":
        model = cls()
        model.slope_ = float((path / "slope.txt").read_text())
        return model


def test_a_save_and_load_of_the_users_own(store: ModelStore) -> None:
    version = store.save("own", Own().fit(4.0))
    assert list(version.manifest.files) == ["slope.txt"]
    assert store.load("own", cls=Own).model.slope_ == 4.0  # type: ignore[attr-defined]
