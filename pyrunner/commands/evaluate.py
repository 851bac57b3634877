"""`ds-runner evaluate`: the metrics of a trained model."""

from pathlib import Path
from typing import Annotated

import typer

from pyrunner.commands.console import emit, say, working
from pyrunner.commands.figures import COUNTS, compared
from pyrunner.commands.options import Env, Json, ModelRef, Params, ProgramPath
from pyrunner.data import Access
from pyrunner.data.connect import access_to
from pyrunner.datasets import Source
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project
from pyrunner.userframes import telling

Data = Annotated[
    Path | None, typer.Option("--input", metavar="FILE", help="Default: program.yaml's validation.")
]


def evaluate(
    input: Data = None,
    model: ModelRef = None,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
    json: Json = False,
) -> None:
    """Measure a trained model."""
    from pyrunner.training import evaluate as measure

    project = open_project(program, env, param)
    with access_to(project) as access:
        data = input or _validation(project, access)
        trained = project.reaching(access).trained(model, verb="evaluate")
        with working("evaluating"), telling(f"evaluate: {type(trained.model).__name__} raised"):
            metrics = measure(trained.model, data, access)
    baseline = trained.manifest.baseline if trained.manifest and not input else {}
    if json:
        emit({"model": trained.version, "data": str(data), "metrics": metrics, "baseline": baseline})
        return
    rows, left_out = (int(metrics.get(name, 0)) for name in COUNTS)
    over = f" over {rows:,} rows" if rows else ""
    say(
        f"model {trained.version}: {compared(metrics, baseline)}{over}"
        + (f", {left_out:,} left out" if left_out else "")
    )


def _validation(project: Project, access: Access) -> Source:
    """What evaluate reads: its own input, or what train validates on."""
    dataset = project.program.command("evaluate").input or project.program.command("train").validation
    if not dataset:
        raise UserError(
            "evaluate: no data. Name a dataset in program.yaml: {name: train, input: ..., validation: validation}, "
            "or give --input FILE"
        )
    return project.dataset(dataset, access)
