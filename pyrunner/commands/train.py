"""`ds-runner train`: fit, evaluate, save the next version."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyrunner.commands.console import count, emit, say, stages
from pyrunner.commands.figures import compared
from pyrunner.commands.options import Env, Json, Params, ProgramPath
from pyrunner.data import Access
from pyrunner.data.connect import access_to
from pyrunner.datasets import Source
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project
from pyrunner.userframes import telling

if TYPE_CHECKING:
    from pyrunner.training import TrainResult

Data = Annotated[
    Path | None, typer.Option("--input", metavar="FILE", help="The history. Default: program.yaml.")
]
Validation = Annotated[
    Path | None, typer.Option("--validation", metavar="FILE", help="Default: program.yaml.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of random, numpy, torch and self.seed; it is recorded.")]


def train(
    input: Data = None,
    validation: Validation = None,
    seed: Seed = 0,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
    json: Json = False,
) -> None:
    """Fit, measure and save the next version.

    The model is fitted on its history, measured on the validation data, and saved under the next number and `latest`.
    """
    project = open_project(program, env, param)
    with access_to(project) as access:
        history, held_out = _data(project, input, validation, access)
        result = _told(project.reaching(access), history, held_out, seed, access)
    if json:
        emit(_as_json(result))
    else:
        say(_line(result, project))


def _told(
    project: Project, history: Source, held_out: Source | None, seed: int, access: Access
) -> "TrainResult":
    """Train, showing the stage, and tell what the model's own code raises from its own frame."""
    model = project.model_class()
    with (
        stages() as on_stage,
        telling(f"train: {model.__name__} raised"),
    ):
        return _train(project, model, history, held_out, seed, on_stage, access)


def _data(
    project: Project, input: Path | None, validation: Path | None, access: Access
) -> tuple[Source, Source | None]:
    command = project.program.command("train")
    if not (input or command.input):
        raise UserError(
            "train: no history. Name a dataset in program.yaml: {name: train, input: history}, or give --input FILE"
        )
    history = input or project.dataset(str(command.input), access)
    held_out = validation or (project.dataset(command.validation, access) if command.validation else None)
    return history, held_out


def _train(
    project: Project,
    model: type[Any],
    history: Source,
    held_out: Source | None,
    seed: int,
    on_stage: Callable[[str], None],
    access: Access,
) -> "TrainResult":
    from pyrunner.training import train as fit_and_save

    return fit_and_save(
        model,
        history,
        held_out,
        project.program.spec.params,
        project.store,
        name=project.name,
        seed=seed,
        config_hash=config_hash(project),
        on_stage=on_stage,
        access=access,
    )


def config_hash(project: Project) -> str:
    """sha256 of the resolved program, so that a trained model tells with which settings it was made."""
    return hashlib.sha256(project.program.model_dump_json(exclude_none=True).encode()).hexdigest()


def _line(result: "TrainResult", project: Project) -> str:
    parts = [f"fit {count(result.rows, 'row')} in {_seconds(result.seconds)} s"]
    if result.metrics:
        parts.append(f"validation {compared(result.metrics, result.baseline)}")
    assert result.version is not None
    bucket = project.program.spec.model_store
    where = (
        f"{result.version.name}/{result.version.version} in {bucket}"
        if bucket
        else result.version.path.relative_to(project.folder)
    )
    return ", ".join([*parts, f"saved {where} (latest -> {result.version.version})"])


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def _as_json(result: "TrainResult") -> Mapping[str, Any]:
    assert result.version is not None
    return {
        "version": result.version.version,
        "path": str(result.version.path),
        "rows": result.rows,
        "seconds": result.seconds,
        "metrics": result.metrics,
        "baseline": result.baseline,
    }
