"""Where a trained model came from: commit and versions of libraries."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

#: Top-level module -> distribution, of what can change an answer.
_LIBRARIES = {
    "pyrunner": "ds-runner",
    "catboost": "catboost",
    "lightgbm": "lightgbm",
    "msgspec": "msgspec",
    "numpy": "numpy",
    "pandas": "pandas",
    "polars": "polars",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "statsmodels": "statsmodels",
    "torch": "torch",
    "xgboost": "xgboost",
}
_GIT_SECONDS = 5


def libraries() -> dict[str, str]:
    """Versions of Python and of the libraries that are loaded."""
    found = {"python": platform.python_version()}
    for module, distribution in _LIBRARIES.items():
        if module in sys.modules:
            try:
                found[distribution] = importlib.metadata.version(distribution)
            except importlib.metadata.PackageNotFoundError:
                continue  # used from a checkout
    return found


def git_commit(cls: type[Any]) -> str:
    """The commit of the repository that the class's file is in, `-dirty` where tracked files differ from it; empty if there is none."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if file is None:
        return ""
    folder = Path(file).parent
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return ""
    return f"{commit}-dirty" if _git(folder, "status", "--porcelain", "--untracked-files=no") else commit


def head_commit(folder: Path) -> str:
    """The commit that is checked out around a folder; empty if there is none."""
    return _git(folder, "rev-parse", "HEAD")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
