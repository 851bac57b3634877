"""A project made from the template and installed, in an environment of its own that borrows this one's packages."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).parents[2]
SECONDS = 240


@dataclass(frozen=True)
class Baked:
    """The folder of a project, and the environment in which its commands run."""

    folder: Path
    venv: Path

    def run(self, *command: str, code: int = 0) -> str:
        """Run to its end; the exit code must be as said. Returns what was printed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self._env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == code, f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}"
        return done.stdout

    def install(self) -> None:
        """`pip install -e .`, without asking an index: what it needs is in this environment already."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.venv / "bin/python"), "install", "--quiet"]
        self.run(*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT), "--editable", ".")

    def _env(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))
        }
        path = f"{self.venv / 'bin'}:{Path(sys.executable).parent}:{inherited['PATH']}"
        return inherited | {
            "PATH": path,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_ROOT_USER_ACTION": "ignore",
        }


def bake(folder: Path, example: str, name: str = "my-flights") -> Path:
    """Render the template into a new folder below `folder`."""
    made = cookiecutter(
        str(ROOT / "cookiecutter"),
        no_input=True,
        default_config=True,
        output_dir=str(folder),
        extra_context={"project_name": name, "example": example},
    )
    return Path(made)


def borrow(folder: Path) -> Path:
    """A virtual environment that sees this one's packages, editable ones included."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=300)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    lines = [f"import site; site.addsitedir({place!r})" for place in site.getsitepackages()]
    (packages / "borrowed.pth").write_text("\n".join(lines) + "\n")
    return folder
