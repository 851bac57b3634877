"""`ds-runner score-batch`: a file of rows to a file of answers."""

from pathlib import Path
from typing import Annotated

import typer

from pyrunner.commands.console import count, emit, progress, say
from pyrunner.commands.options import Env, Json, ModelRef, Params, ProgramPath
from pyrunner.data.connect import access_to
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project

Input = Annotated[
    Path | None, typer.Option("--input", metavar="FILE", help="parquet, csv or jsonl. Default: program.yaml.")
]
Output = Annotated[Path | None, typer.Option("--output", metavar="FILE", help="parquet, csv or jsonl.")]
Rejects = Annotated[
    Path | None, typer.Option("--rejects", metavar="FILE", help="A jsonl of rows without an answer, and why.")
]


def score_batch(
    input: Input = None,
    output: Output = None,
    rejects: Rejects = None,
    model: ModelRef = None,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
    json: Json = False,
) -> None:
    """Score a file into a file.

    In this process, in batches: memory does not grow with the file.
    """
    from pyrunner.datasets import shape
    from pyrunner.scorebatch import score_file
    from pyrunner.scoring import Scorer

    project = open_project(program, env, param)
    target = output or project.data_path(_named(project, "output"))
    size = _batch_rows(project)
    with access_to(project) as access, progress() as bar:
        trained = project.reaching(access).trained(model, verb="score-batch")
        source = input or project.dataset(_named(project, "input"), access)
        total = shape(source).rows if isinstance(source, Path) and source.suffix == ".parquet" else None
        scorer = Scorer(trained.model, model_version=trained.version, access=access)
        task = bar.add_task("scoring", total=total)
        tally = score_file(
            scorer, source, target, rejects=rejects, size=size, on_rows=lambda n: bar.advance(task, n)
        )
    if json:
        emit({**tally.as_json(), "output": str(target), "model": trained.version})
        return
    say(
        f"scored {count(tally.rows, 'row')} in {tally.seconds:.1f} s ({tally.rows_per_second:,.0f} rows/s): "
        f"{count(tally.outputs, 'output')} in {target}, {tally.rejected:,} rejected, {tally.failed:,} failed"
    )
    if tally.routed:
        say(f"{count(tally.routed, 'output')} for other streams left out: a file has no place for them")
    if rejects:
        say(f"{tally.rejected + tally.failed:,} told of in {rejects}")


def _named(project: Project, end: str) -> str:
    """The dataset that program.yaml names for an end of the command."""
    dataset = getattr(project.program.command("score-batch"), end)
    if not dataset:
        raise UserError(
            f"score-batch: --{end} is missing. Give a file, or name a dataset in program.yaml: commands.score-batch.{end}"
        )
    return str(dataset)


def _batch_rows(project: Project) -> int:
    batch = project.program.command("score-batch").batch
    return batch.events if batch and isinstance(batch.events, int) else 4096
