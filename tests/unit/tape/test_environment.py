"""Under what a worker scores, and what of it has changed."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from pyrunner.protocol.frames import MAX_DESCRIBE
from pyrunner.tape.environment import (
    Environment,
    code_hash,
    described,
    differences,
    environment_in,
    environment_of,
    lock_file,
)

RECORDED = Environment(
    model="3",
    model_hash="m",
    code="c" * 64,
    commit="1234567890",
    lock="uv.lock",
    lock_hash="l" * 64,
    installed="i",
    libraries={"numpy": "1.26.4"},
    threads={"OMP_NUM_THREADS": "4"},
    machine="Linux x86_64",
)


def changed(**values: Any) -> list[str]:
    now = Environment(**{f: getattr(RECORDED, f) for f in RECORDED.__struct_fields__} | values)
    return differences(RECORDED, now)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": "4", "model_hash": "n"}, "model 3, now 4"),
        ({"model_hash": "n"}, "model 3 has other files"),
        ({"seed": 7}, "seed 0, now 7"),
        ({"code": "d" * 64, "commit": ""}, "code cccccccc (commit 12345678), now dddddddd"),
        ({"lock_hash": "k" * 64}, "lock file uv.lock llllllll, now uv.lock kkkkkkkk"),
        ({"lock": "", "lock_hash": ""}, "lock file uv.lock llllllll, now absent"),
        ({"libraries": {"numpy": "2.0.1"}, "installed": "j"}, "numpy 1.26.4, now 2.0.1"),
        ({"libraries": {}}, "numpy 1.26.4, now absent"),
        ({"installed": "j"}, "other packages are installed"),
        ({"threads": {"OMP_NUM_THREADS": "2"}}, "OMP_NUM_THREADS 4, now 2"),
        ({"machine": "Darwin arm64"}, "machine Linux x86_64, now Darwin arm64"),
    ],
)
def test_what_has_changed_is_told_in_a_few_words(values: dict[str, Any], sentence: str) -> None:
    assert changed(**values) == [sentence]


def test_what_has_not_changed_is_not_told() -> None:
    assert changed() == []


def test_the_environment_travels_beside_the_schemas() -> None:
    told = described(b'{"input": {"type": "object"}}', RECORDED)
    assert environment_in(told) == RECORDED
    assert b'"input":{"type": "object"}' in told
    assert environment_in(described(b"", RECORDED)) == RECORDED


def test_schemas_that_fill_hello_leave_no_room_and_are_told_alone() -> None:
    schemas = b'{"input": "' + b"x" * (MAX_DESCRIBE - 100) + b'"}'
    assert described(schemas, RECORDED) == schemas


@pytest.mark.parametrize(
    "told", [b"", b"{}", b"no JSON", b'{"environment": 7}', b'{"environment": {"model": 1}}']
)
def test_a_worker_that_tells_nothing_has_an_empty_environment(told: bytes) -> None:
    assert environment_in(told) == Environment()


def test_the_lock_file_is_looked_for_up_to_the_root_of_the_repository(tmp_path: Path) -> None:
    inner = tmp_path / "repository" / "flights"
    inner.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    (tmp_path / "uv.lock").write_text("of somebody else")
    assert lock_file(inner) is None
    (tmp_path / "repository" / "uv.lock").write_text("a")
    assert lock_file(inner) == tmp_path / "repository" / "uv.lock"
    (inner / "requirements.txt").write_text("b")
    assert lock_file(inner) == inner / "requirements.txt"


def test_the_code_is_what_was_imported_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code_hash(tmp_path) == ""
    science, other = tmp_path / "science.py", tmp_path / "unused.py"
    for path in (science, other):
        path.write_text("x = 1\n")
    module = ModuleType("science_of_a_test")
    module.__file__ = str(science)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    before = code_hash(tmp_path)
    other.write_text("x = 2\n")
    assert code_hash(tmp_path) == before
    science.write_text("x = 2\n")
    assert code_hash(tmp_path) not in ("", before)


def test_of_the_variables_only_those_of_threads_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "hunter2")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    trained: Any = SimpleNamespace(version="3", manifest=None, model=SimpleNamespace(seed=7))
    found = environment_of(tmp_path, trained)
    assert (found.model, found.seed, found.threads["OMP_NUM_THREADS"]) == ("3", 7, "3")
    assert "hunter2" not in str(found)
    assert found.installed
    assert found.libraries["python"]
