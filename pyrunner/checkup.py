"""What `ds-runner check` looks at, one finding after another: the class, its data, its answers, what is declared.

Everything is looked at, so that all mistakes are told in one go; a finding that others rest on (the class cannot be imported)
leaves those out. The model that is asked is fitted here on a part of the history: what is checked is the code as it is now, not
what was trained some time ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from pyrunner import datasets
from pyrunner.data import Access, DataError
from pyrunner.data.connect import access_to
from pyrunner.errors import UserError
from pyrunner.local import kind
from pyrunner.project import Project
from pyrunner.userframes import telling

if TYPE_CHECKING:
    from pyrunner.signature import Signature

FIT_ROWS = 20_000  # of history, spread over it
SAMPLE_ROWS = 256  # asked in one batch, one by one, shuffled: the first ones and as many spread over the data
TYPED_ROWS = 500_000  # whose types are compared with the class

MISTAKE, NOT_SO = "mistake", "not so"

_TAKES = {
    "list": "list[{0}]",
    "batch": "Batch[{0}]",
    "one": "{0}",
    "pandas": "pd.DataFrame of {0}",
    "arrow": "pa.Table of {0}",
    "numpy": "dict[str, np.ndarray] of {0}",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. `fault` is empty when all is well, else whose it is: MISTAKE (to mend) or NOT_SO."""

    text: str
    fault: str = ""


def findings(project: Project) -> Iterator[Finding]:
    """Look at everything."""
    with access_to(project) as access:
        yield from _findings(project, access)


def _findings(project: Project, access: Access) -> Iterator[Finding]:
    signature = None
    try:
        signature = _signature(project)
        yield Finding(_described(signature))
        if signature.container in _OF_COLUMNS:
            yield Finding(_way(signature))
        yield from _threads(project, signature)
    except UserError as e:
        yield Finding(str(e), MISTAKE)
    faulty = set()
    for name in _read_datasets(project):
        finding = _looked_at(project, name, signature, access)
        if finding.fault:
            faulty.add(name)
        yield finding
    if signature and project.program.command("train").input not in faulty:
        yield from _answers(project, signature, access)
    yield from _declared(project)


def _looked_at(project: Project, name: str, signature: Signature | None, access: Access) -> Finding:
    try:
        return Finding(_dataset(project, name, signature, access))
    except (UserError, DataError) as e:
        return Finding(str(e), MISTAKE)


def _signature(project: Project) -> Signature:
    from pyrunner.signature import read_signature

    signature = read_signature(project.model_class())
    project.new_model()  # its params are those that program.yaml sets
    return signature


def _described(s: Signature) -> str:
    takes = _TAKES[s.container].format(s.input_schema.name)
    return (
        f"model {s.model.__name__}[{s.input_schema.name} -> {s.output_schema.name}], {s.verb} takes {takes}"
    )


_OF_COLUMNS = ("pandas", "arrow", "numpy")


def _way(s: Signature) -> str:
    """Whether a bridge sends columns, and why not."""
    if s.path.plan is None:
        return f"events come as JSON and are put into columns here: {'; '.join(s.path.reasons)}"
    if s.path.lines:
        return f"events come as columns, answers go as JSON: {'; '.join(s.path.lines)}"
    return "events come as columns, answers go as columns"


def _threads(project: Project, s: Signature) -> Iterator[Finding]:
    """What `concurrency` asks of the class."""
    for command in project.program.commands:
        if (command.concurrency or 1) > 1:
            yield Finding(
                f"{command.name} makes up to {command.concurrency} calls of {s.verb} at a time, in threads that share one instance: "
                f"{s.verb} keeps nothing of a call on self"
            )


def _read_datasets(project: Project) -> list[str]:
    """The datasets that a command reads, in the order of the commands."""
    names = (n for c in project.program.commands for n in (c.input, c.validation) if n)
    return list(dict.fromkeys(n for n in names if n in project.program.spec.datasets))


def _dataset(project: Project, name: str, signature: Signature | None, access: Access) -> str:
    path = project.dataset(name, access)
    shape = datasets.shape(path)
    if signature is None:
        return f"{name} {shape.rows:,} rows, {len(shape.columns)} columns"
    schemas = [signature.input_schema, signature.output_schema]
    problems = datasets.missing_columns(path, shape.columns, signature.input_schema)
    if problems:
        raise UserError("\n".join(problems))
    rows = 0
    for batch in datasets.batches(path, schemas, 65_536):
        rows += batch.num_rows
        if rows >= TYPED_ROWS:
            break
    declared = {n for s in schemas for f in s for n in (f.name, f.wire)}
    known = [c for c in shape.columns if c in declared]
    others = [c for c in shape.columns if c not in declared]
    text = f"{name} {shape.rows:,} rows, {len(known)} of {len(shape.columns)} columns"
    return text + (f" (not declared: {', '.join(others)})" if others else "")


def _answers(project: Project, signature: Signature, access: Access) -> Iterator[Finding]:
    """Whether the model answers a sample, and the same whatever batch an event comes in."""
    try:
        model, sample, source = _fitted(project, signature, access)
        if not sample:
            yield Finding("answers not checked: no data to ask about. Name a dataset as the input of train")
            return
        yield from _asked(model, sample, source, access)
    except (UserError, DataError) as e:
        yield Finding(str(e), MISTAKE)


def _fitted(project: Project, signature: Signature, access: Access) -> tuple[Any, list[bytes], str]:
    """A model fitted on a part of the history, and a sample of events from it."""
    from pyrunner.history import payloads_of
    from pyrunner.model import overrides
    from pyrunner.training import train

    dataset = project.program.command("train").input
    model = project.new_model()
    if not dataset:
        return (model if not overrides(signature.model, "fit") else None), [], ""
    path = project.dataset(dataset, access)
    part = _part(path, signature)
    if overrides(signature.model, "fit"):
        with telling(f"{signature.model.__name__}.fit raised, given {part.num_rows:,} rows of {dataset}"):
            model = train(signature.model, part, None, project.program.spec.params, access=access).model
    return model, payloads_of(_sampled(part), signature.input_schema), path.name


def _part(path: datasets.Source, signature: Signature) -> Any:
    """Up to FIT_ROWS rows: all of a small file, else every n-th, but the first ones whole."""
    import pyarrow as pa

    schemas = [signature.input_schema, signature.output_schema]
    rows = datasets.shape(path).rows
    step = max(1, rows // FIT_ROWS)
    parts, seen = [], 0
    for batch in datasets.batches(path, schemas, 65_536):
        keep = [i for i in range(batch.num_rows) if seen + i < SAMPLE_ROWS or (seen + i) % step == 0]
        parts.append(pa.Table.from_batches([batch]).take(keep))
        seen += batch.num_rows
    return pa.concat_tables(parts, promote_options="permissive") if parts else pa.table({})


def _sampled(table: Any) -> Any:
    """SAMPLE_ROWS rows: the first half as they come, the others spread over the table."""
    n, half = table.num_rows, SAMPLE_ROWS // 2
    if n <= SAMPLE_ROWS:
        return table
    step = (n - half) / half
    return table.take([*range(half), *(half + int(i * step) for i in range(half))])


def _asked(model: Any, sample: Sequence[bytes], source: str, access: Access) -> Iterator[Finding]:
    from pyrunner.checks import check_model
    from pyrunner.scoring import Scorer

    failed = _failures(Scorer(model, access=access).score(list(sample)), source)
    if failed:
        yield from (Finding(text, MISTAKE) for text in failed)
        return
    report = check_model(model, list(sample), raises=False, access=access)
    yield from (Finding(problem, NOT_SO) for problem in report.problems)
    if report.ok:
        said = "answers do not depend on the batch"
        yield Finding("; ".join([said, *report.notes]) if not report.notes else "; ".join(report.notes))


def _failures(scored: Any, source: str) -> list[str]:
    """Rows of the sample that fail, each reason once; a user's own exception with the traceback from their frame."""
    from pyrunner.answers import Answer

    found: dict[str, str] = {}
    for error in scored.errors:
        answer = Answer(error.index, error=error)
        if answer.failed and error.reason not in found:
            trace = answer.traceback.rstrip()
            place = f" (a row of {source})" if error.code in ("invalid_event", "exception") else ""
            found[error.reason] = f"{error.reason}{place}" + (f"\n{trace}" if trace else "")
    return list(islice(found.values(), 3))


def _declared(project: Project) -> Iterator[Finding]:
    commands = [c.name for c in project.program.commands if kind(c) != "own"]
    yield Finding(f"{len(commands)} commands: {', '.join(commands)}")
    streams = project.program.spec.streams
    if streams:
        yield Finding(f"{len(streams)} streams: {', '.join(streams)}")
