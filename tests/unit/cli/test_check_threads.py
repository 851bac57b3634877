"""`check` says what `concurrency` asks of a class."""

from __future__ import annotations

from pathlib import Path

from pyrunner.checkup import _threads
from pyrunner.project import open_project
from pyrunner.signature import read_signature
from tests.unit.runtime.test_concurrency import MODEL, PROGRAM


def found(folder: Path, monkeypatch, text: str) -> list[str]:
    (folder / "waiter_science.py").write_text(MODEL)
    (folder / "program.yaml").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    project = open_project(folder / "program.yaml")
    return [f.text for f in _threads(project, read_signature(project.model_class()))]


def test_threads_are_told_of_where_there_are_any(tmp_path, monkeypatch):
    [text] = found(tmp_path, monkeypatch, PROGRAM)
    assert text.startswith("serve-api makes up to 4 calls of predict at a time, in threads that share one")
    assert found(tmp_path, monkeypatch, PROGRAM.replace("concurrency: 4, ", "")) == []
