"""Which files are watched, and that a change is told once."""

from __future__ import annotations

from pathlib import Path
from queue import Queue

from pyrunner.reload import Watch, watched_files


def test_python_and_program_files_are_watched_and_nothing_generated(tmp_path: Path) -> None:
    for name in ("pkg/science.py", "program.yaml", "program.prod.yaml"):
        _write(tmp_path / name)
    for name in (
        ".venv/lib/x.py",
        "env/pyvenv.cfg",
        "env/lib/y.py",
        "models/1/z.py",
        "pkg/__pycache__/a.py",
        "notes.yaml",
    ):
        _write(tmp_path / name)
    found = {str(p.relative_to(tmp_path)) for p in watched_files(tmp_path)}
    assert found == {"pkg/science.py", "program.yaml", "program.prod.yaml"}


def test_a_change_a_new_file_and_a_removed_one_are_told(tmp_path: Path) -> None:
    science = _write(tmp_path / "science.py")
    told: Queue[list[Path]] = Queue()
    with Watch(tmp_path, told.put, interval=0.02):
        science.write_text("changed = True")
        assert told.get(timeout=60) == [science]
        new = _write(tmp_path / "new.py")
        assert told.get(timeout=60) == [new]
        new.unlink()
        assert told.get(timeout=60) == [new]
    assert told.empty()


def _write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")
    return path
