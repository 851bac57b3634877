"""What ran: the packages that a figure depends on, by environment. For the results file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from .children import ENVIRONMENTS

PACKAGES = {
    "ours": ("msgspec", "numpy", "pandas", "scikit-learn"),
    "peers": ("confluent-kafka", "fastapi", "nats-py", "numpy", "orjson", "pandas", "scikit-learn", "starlette", "uvicorn", "uvloop"),
    "bento": ("bentoml", "numpy", "scikit-learn"),
    "triton": ("nvidia-pytriton", "numpy", "scikit-learn"),
    "quix": ("quixstreams",),
}  # fmt: skip
_ASK = """\
import importlib.metadata as m, json, platform, sys
found = {name: m.version(name) for name in sys.argv[1:]}
print(json.dumps({"python": platform.python_version(), **found}))
"""


def versions() -> dict[str, dict[str, str]]:
    """By environment, those that are there."""
    found = {name: _of(_python(name), packages) for name, packages in PACKAGES.items()}
    return {name: packages for name, packages in found.items() if packages} | _wrk()


def _python(environment: str) -> Path:
    return Path(sys.executable) if environment == "ours" else ENVIRONMENTS / environment / "bin" / "python"


def _of(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    if not python.exists():
        return {}
    done = subprocess.run([python, "-c", _ASK, *packages], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _wrk() -> dict[str, dict[str, str]]:
    if shutil.which("wrk") is None:
        return {}
    said = subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout
    return {"load": {"wrk": said.split("[")[0].removeprefix("wrk").strip()}}
