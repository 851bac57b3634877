"""A project as commands see it: where its program.yaml is, what it resolves to, its class, its data, its trained models.

    find_program() -> open_project() -> Project -> model_class(), store(), dataset(), state

Paths in program.yaml are relative to its folder, never to where the command was typed. The folder goes to the front of
`sys.path`, so that a project works without being installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyrunner.errors import UserError

if TYPE_CHECKING:
    from pyrunner.data import Access
    from pyrunner.data.dataset import Query
    from pyrunner.models import Loaded, ModelStore
    from pyrunner.program import Program

FILE = "program.yaml"
STATE = ".ds-runner"
MODELS = "models"
LATEST = "latest"
UNTRAINED = "untrained"

_package: ContextVar[str | None] = ContextVar("package", default=None)


@dataclass(frozen=True)
class Project:
    """One program, resolved. Opening reads files and imports nothing of the user's."""

    path: Path  # of program.yaml, absolute
    program: Program
    env: str | None = None
    params: tuple[str, ...] = ()
    access: Access | None = field(default=None, compare=False, repr=False)  # a way to the bridge that is open
    bridge: tuple[str, Path] | None = None  # the one that was named, with its token file

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def state(self) -> Path:
        """Where the embedded store, its lock and the discovery file are."""
        return self.folder / STATE

    @property
    def store(self) -> ModelStore:
        """The trained models, by name and version: beside program.yaml, or in the bucket that it names."""
        from pyrunner.models import ModelStore

        bucket = self.program.spec.model_store
        if bucket is None:
            return ModelStore(self.folder / MODELS)
        from pyrunner.models.remote import RemoteStore

        return RemoteStore(self.state / MODELS, bucket, self._reach)

    def reaching(self, access: Access) -> Project:
        """The same project, which asks for its models by this way."""
        return replace(self, access=access)

    def beside(self, address: str, token_file: Path) -> Project:
        """The same project, which asks this bridge for its models."""
        return replace(self, bridge=(address, token_file))

    def _reach(self) -> AbstractContextManager[Access]:
        from pyrunner.data.connect import access_to

        return access_to(self, *(self.bridge or ())) if self.access is None else nullcontext(self.access)

    @property
    def connections(self) -> dict[str, str]:
        """The names of the program's connections, and the scheme of each one's URL: where it leads stays with the bridge."""
        return {name: str(c.url).partition(":")[0] for name, c in self.program.spec.connections.items()}

    @property
    def secrets(self) -> frozenset[str]:
        """The environment variables that the connections name: the bridge alone is to have them."""
        from pyrunner.program.secrets import variables_of

        texts = (
            str(text)
            for c in self.program.spec.connections.values()
            for text in (c.url, *c.settings.values())
        )
        return frozenset(name for text in texts for name in variables_of(text))

    def model_class(self) -> type[Any]:
        """Import the class that `spec.model` names. An import that fails is shown from the user's frame."""
        module_name, _, class_name = self.program.spec.model.partition(":")
        module = import_user_module(module_name, place=self._place("model"))
        found = getattr(module, class_name, None)
        if not isinstance(found, type):
            classes = [
                n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__
            ]
            from pyrunner.program.words import unknown

            raise UserError(
                unknown(f"model: {module_name} has no class", class_name, classes, "It has"),
                place=self._place("model"),
            )
        return found

    def new_model(self) -> Any:
        """The model as its class makes it, with this program's parameters; not fitted."""
        return self.model_class()(**self.program.spec.params)

    def trained(self, ref: str | None = None, *, verb: str = "") -> Loaded:
        """The trained model of that version or alias (default `latest`), loaded; a class without `fit` needs none."""
        self.require_trained(ref, verb=verb)
        return self.store.load(self.name, ref or LATEST, self.model_class(), params=self.program.spec.params)

    def require_trained(self, ref: str | None = None, *, verb: str = "") -> str:
        """The version that would be loaded. Without one a UserError, before anything is started."""
        from pyrunner.model import overrides

        try:
            return self.store.resolve(self.name, ref or LATEST)
        except UserError as e:
            if (
                ref in (None, LATEST)
                and not self.store.list(self.name)
                and not overrides(self.model_class(), "fit")
            ):
                return UNTRAINED
            raise UserError(str(e), place=f"{verb}:" if verb else None) from None

    def data_path(self, dataset: str) -> Path:
        """The file of a dataset that program.yaml names, as messages show it: relative where it is here or below."""
        declared = self.program.dataset(dataset)
        if declared.path is None:
            raise UserError(
                f"{dataset} is a query, and a file is wanted here",
                place=self._place(f"datasets.{dataset}.query"),
            )
        return _as_typed(self.folder / str(declared.path))

    def dataset(self, name: str, access: Access) -> Path | Query:
        """What a dataset is read from: its file, or its query through the bridge."""
        from pyrunner.data.dataset import Query

        declared = self.program.dataset(name)
        if declared.query is None:
            return self.data_path(name)
        return Query(access, name, str(declared.connection), declared.query, declared.params or {})

    def _place(self, path: str) -> str:
        origin = self.program.origins.get(path, "")
        return origin if ":" in origin else self.path.name


def find_program(given: Path | None, *, missing_ok: bool = False) -> Path | None:
    """The program.yaml that a command means: the one given (a file or its folder), else here or the nearest above.

    For a program's own CLI it must be that program's, and if none is here, the one beside the installed package counts.
    """
    if given is not None:
        path = given / FILE if given.is_dir() else given
        if not path.is_file():
            raise UserError(f"no {path}. --program takes a program.yaml or the folder that holds one")
        return path.resolve()
    package = _package.get()
    for folder in _places(package):
        path = folder / FILE
        if path.is_file() and (package is None or _belongs(path, package)):
            return path
    if missing_ok:
        return None
    raise UserError(
        f"no {FILE} in {Path.cwd()} or above. Go to your project's folder, name it with --program PATH, "
        "or make one: ds-runner new my-project"
    )


def open_project(
    given: Path | None = None, env: str | None = None, params: Sequence[str] | None = None
) -> Project:
    """Find, read and resolve. All mistakes in program.yaml are told at once, as one UserError."""
    from pyrunner.program import load_program

    path = find_program(given)
    assert path is not None
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return Project(path, load_program(_as_typed(path), env, tuple(params or ())), env, tuple(params or ()))


def _as_typed(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def import_user_module(name: str, *, place: str) -> Any:
    """Import a module of the project. What the user's code raises is told from its frame, with the place that names it."""
    from pyrunner.userframes import told

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as e:
        if e.name and (name == e.name or name.startswith(e.name + ".")):
            raise UserError(f"model: no module {name} in {sys.path[0]} or installed", place=place) from None
        raise UserError(f"model: {name} cannot be imported\n{told(e)}", place=place) from e
    except UserError:
        raise
    except Exception as e:
        raise UserError(f"model: {name} cannot be imported\n{told(e)}", place=place) from e


def import_commands(project: Project) -> str:
    """Import what may hold `@command` functions: the model's module and, where it exists, `<package>.commands`."""
    module_name = project.program.spec.model.partition(":")[0]
    package: str = module_name.partition(".")[0]
    import_user_module(module_name, place=project.path.name)
    beside = f"{package}.commands"
    if "." in module_name and importlib.util.find_spec(beside):
        import_user_module(beside, place=project.path.name)
    return package


@contextmanager
def looking_for(package: str | None) -> Iterator[None]:
    """Within, `find_program` looks for the program of this package."""
    before = _package.set(package)
    try:
        yield
    finally:
        _package.reset(before)


def _places(package: str | None) -> Iterator[Path]:
    here = Path.cwd()
    yield from (here, *here.parents)
    if package is None:
        return
    spec = importlib.util.find_spec(package)
    for root in (spec.submodule_search_locations or []) if spec else []:
        yield from (Path(root), Path(root).parent)


def _belongs(path: Path, package: str) -> bool:
    """Whether the file's model is of this package: a cheap look, the real reading comes after."""
    import yaml

    try:
        model = yaml.safe_load(path.read_text(encoding="utf-8"))["spec"]["model"]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return path.parent == Path(
            os.getcwd()
        )  # broken and here: it is meant, and its mistakes are to be told
    return str(model).partition(":")[0].partition(".")[0] == package
