"""Where the files that ship with the package lie: the project template, what the CLI renders, the bridge's binary.

In a wheel they are inside the package (`pyrunner/_cookiecutter`, `pyrunner/_templates`, `pyrunner/_bin`); in a checkout the
first two are at its root, so that they are edited where they are read.
"""

from pathlib import Path

from pyrunner.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def template_folder() -> Path:
    """The cookiecutter template of a project: the folder that holds `cookiecutter.json`."""
    return _either("_cookiecutter", "cookiecutter", holds="cookiecutter.json")


def templates_folder() -> Path:
    """What the CLI and the operator render: manifests, dashboards, Dockerfiles."""
    return _either("_templates", "templates")


def packaged_binary() -> Path:
    """Where a wheel carries `ds-bridge` (the file need not be there: a checkout builds it)."""
    return _PACKAGE / "_bin" / "ds-bridge"


def _either(packaged: str, checkout: str, holds: str = "") -> Path:
    places = [_PACKAGE / packaged, _PACKAGE.parent / checkout]
    for place in places:
        if (place / holds).exists():
            return place
    tried = " or ".join(str(p / holds) for p in places)
    raise UserError(
        f"this installation of ds-runner is not whole: no {tried}. Install it again: pip install ds-runner"
    )
