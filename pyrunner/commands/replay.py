"""`ds-runner replay`: a file of events, or a tape, through bridge, wire and one worker, and the golden diff of what came out."""

import json as jsonlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pyrunner.answers import answers, body
from pyrunner.commands import NOT_SO
from pyrunner.commands.console import count, emit, note, progress, say
from pyrunner.commands.options import Env, Json, ModelRef, Params, ProgramPath
from pyrunner.commands.running import control
from pyrunner.data.connect import access_to
from pyrunner.errors import UserError
from pyrunner.project import Project, open_project
from pyrunner.replay.diff import compare
from pyrunner.replay.ledger import Fate, read_ledger
from pyrunner.replay.run import Request, Result, run
from pyrunner.replay.tapes import Findings, Golden, Verdict, model_for, read_tape, verdict, with_code
from pyrunner.tape import contents
from pyrunner.tape.contents import Contents
from pyrunner.tape.frames import is_tape
from pyrunner.tape.moment import moment_of

if TYPE_CHECKING:
    from pyrunner.replay.inprocess import EventId
    from pyrunner.scoring import Scorer

FORMATS = (".jsonl", ".ndjson", ".csv", ".dead")  # those of bridge_go/messaging/file

Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Keep the ledger: one JSON line an event.")
]
Expect = Annotated[
    Path | None,
    typer.Option(
        "--expect", metavar="FILE", help="Compare with this ledger or tape; exit code 1 if it differs."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="ID", help="Only this event (stream/partition/offset). May be repeated."),
]
Pdb = Annotated[
    bool, typer.Option("--pdb", help="In this process, with a debugger at your frame. Needs --only.")
]
Tolerance = Annotated[
    float | None,
    typer.Option(
        "--tolerance",
        min=0,
        help="By how much floats may differ, absolute or relative. Default: the class's; 0 for a tape and itself.",
    ),
]
CommandName = Annotated[
    str | None,
    typer.Option(
        "--command",
        help="The command whose input the file stands for. Default: the recorded one, or score-stream.",
    ),
]
Speed = Annotated[
    str | None,
    typer.Option(
        "--speed", metavar="1x|10x|max", help="Of a tape: as fast as it was recorded. Default: max."
    ),
]


def replay(
    file: Annotated[
        Path | None, typer.Argument(help="A tape, or events as jsonl or csv, also gzipped.")
    ] = None,
    output: Output = None,
    expect: Expect = None,
    only: Only = None,
    pdb: Pdb = False,
    tolerance: Tolerance = None,
    speed: Speed = None,
    model: ModelRef = None,
    command: CommandName = None,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
    json: Json = False,
) -> None:
    """Send a file through the wire and diff.

    The file goes through bridge, wire and one worker, as a stream does; a tape with its recorded batches, and with the recorded answers to
    what the model asks. With --expect the first difference is explained and the exit code is 1.
    """
    project = open_project(program, env, param)
    if file is None or pdb:
        _one_by_one(project, file, only or [], model, pdb)
        return
    tape = read_tape(_existing(file))
    _require(file, expect, tape, speed)
    request = _request(project, file, tape, only, model, command, speed)
    with _ledger(output) as ledger:
        done = _run(project, replace(request, ledger=ledger), len(tape.fates) if tape else None)
        outcome = (
            _compared(project, done, ledger, Golden.read(expect, tape, file).chosen(only), tape, tolerance)
            if expect
            else None
        )
        dead = _first_dead(ledger) if done.dead else None
    _require_found(only or [], done.events, file)
    _tell(done, outcome, file, output, json)
    for sentence in _sentences(done, outcome, tape):
        note(sentence)
    if dead:
        note(explained(dead, file))
    if outcome and not outcome.comparison.same:
        raise typer.Exit(NOT_SO)


def _request(
    project: Project,
    file: Path,
    tape: Contents | None,
    only: list[str] | None,
    model: str | None,
    command: str | None,
    speed: str | None,
) -> Request:
    if tape is None:
        return Request(file, file, tuple(only or ()), model, command or "score-stream")
    return Request(
        file,
        file,
        tuple(only or ()),
        model_for(project, tape, model),
        command or tape.recording.command,
        tape=True,
        speed=_times(speed or "max"),
        threads=tape.environment.threads,
    )


def _times(speed: str) -> float:
    """`10x` as a number, `max` as 0."""
    if speed == "max":
        return 0.0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x", speed)
    if not found or float(found[1]) <= 0:
        raise UserError(f"replay: --speed {speed}: write 1x, 10x or max")
    return float(found[1])


def _compared(
    project: Project, done: Result, ledger: Path, golden: Golden, tape: Contents | None, given: float | None
) -> Verdict:
    tolerance = golden.tolerance(tape, project.model_class()) if given is None else given
    got = read_ledger(ledger)
    if done.report is not None:
        got = with_code(got, Findings(done.report).environment)
    return verdict(done, golden, compare(golden.fates, got, tolerance), tolerance)


def _sentences(done: Result, outcome: Verdict | None, tape: Contents | None) -> list[str]:
    """What to know besides the result."""
    found = list(done.unknown)
    if tape is not None and done.report is not None:
        found += Findings(done.report).sentences(tape)
    if outcome and outcome.elsewhere:
        found.append(f"not as it was recorded: {'; '.join(outcome.elsewhere)}")
    if outcome and outcome.distrust:
        found.append(outcome.distrust)
    return found


def _require(file: Path, expect: Path | None, tape: Contents | None, speed: str | None) -> None:
    if tape is None and speed is not None:
        raise UserError(f"replay: --speed is for tapes: {file} does not say when its events came")
    if tape is None and not file.name.removesuffix(".gz").endswith(FORMATS):
        raise UserError(
            f"replay: {file}: it is no tape, and events are read from {', '.join(FORMATS)}, also with .gz. "
            f"To score a dataset: ds-runner score-batch --input {file} --output scored.parquet"
        )
    if expect and not expect.is_file():
        raise UserError(
            f"replay: no file {expect} to compare with. Make it with: ds-runner replay {file} --output {expect}"
        )


def _require_found(only: list[str], found: int, file: Path) -> None:
    if len(set(only)) > found:
        raise UserError(f"replay: {file} has {found} of the {len(set(only))} events that --only names")


def _one_by_one(project: Project, file: Path | None, only: list[str], model: str | None, pdb: bool) -> None:
    """Single events in this process: from the file, else from the streams of the bridge that runs."""
    from pyrunner.replay.inprocess import EventId, debug, from_bridge, from_file
    from pyrunner.scoring import Scorer

    if not only:
        raise UserError(
            "replay: which events? Give a file, or one event: ds-runner replay --only departures/0/17 --pdb"
        )
    ids = [EventId.parse(text) for text in only]
    if file is not None and is_tape(_existing(file)):
        _debug_tape(project, file, ids, model)
        return
    with ExitStack() as stack:
        client = None if file else stack.enter_context(control(project))
        payloads = [from_bridge(client, i) if client else from_file(project, _existing(file), i) for i in ids]
    with access_to(project) as access:
        trained = project.reaching(access).trained(model, verb="replay")
        scorer = Scorer(trained.model, model_version=trained.version, access=access)
        for event, payload in zip(ids, payloads, strict=True):
            if pdb:
                debug(scorer, event, payload)
            else:
                _answer(scorer, event, payload)


def _debug_tape(project: Project, file: Path, ids: "list[EventId]", model: str | None) -> None:
    """Events of a tape in this process, with a debugger and their recorded answers to ctx."""
    from pyrunner.replay.inprocess import debug_moment
    from pyrunner.scoring import Scorer

    tape = contents.read(file)
    moments = [moment_of(file, str(i)) for i in ids]
    trained = project.trained(model_for(project, tape, model), verb="replay")
    for event, moment in zip(ids, moments, strict=True):
        scorer = Scorer(trained.model, model_version=trained.version, access=moment.access())
        debug_moment(scorer, event, moment)


def _answer(scorer: "Scorer", event: "EventId", payload: bytes) -> None:
    (answer,) = answers(scorer.score([payload]), 1)
    say(jsonlib.dumps({"event": str(event), "answer": body([answer], many=False)}, ensure_ascii=False))
    if answer.error:
        note("\n".join(part for part in (answer.reason, answer.traceback.rstrip()) if part))


def _existing(file: Path | None) -> Path:
    if file is None or not file.is_file():
        raise UserError(f"replay: no file {file}")
    return file


def _run(project: Project, request: Request, events: int | None) -> Result:
    with progress() as bar:
        task = bar.add_task("replaying", total=_count(request) if events is None else events)
        return run(project, request, lambda events: bar.update(task, completed=events))


def _count(request: Request) -> int | None:
    """How many events there will be, for the progress bar; None where that takes a look at every byte of a packed file."""
    if request.only:
        return len(request.only)
    if request.file.suffix != ".jsonl":
        return None
    with request.file.open("rb") as f:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: f.read(1 << 20), b""))


def _first_dead(ledger: Path) -> Fate | None:
    return next((f for f in read_ledger(ledger).values() if f.kind == "dead"), None)


@contextmanager
def _ledger(output: Path | None) -> Iterator[Path]:
    """Where the bridge writes. `output` appears when the block ends, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="ds-runner-replay-") as folder:
        ledger = Path(folder) / "ledger.jsonl"
        yield ledger
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            partial = output.with_name(f".{output.name}.partial")
            shutil.copyfile(ledger, partial)
            partial.replace(output)


def _tell(done: Result, outcome: Verdict | None, file: Path, output: Path | None, json: bool) -> None:
    if json:
        emit({**done.as_json(), **(outcome.as_json() if outcome else {})})
        return
    say(
        f"replayed {count(done.events, 'event')} in {done.seconds:.1f} s: {done.scored:,} scored, {done.rejected:,} rejected, "
        f"{done.dead:,} dead, model {done.model or '?'}" + (f", ledger in {output}" if output else "")
    )
    if outcome:
        _tell_outcome(outcome, file)


def _tell_outcome(outcome: Verdict, file: Path) -> None:
    compared = outcome.comparison
    if compared.same:
        exactly = ", to the bit" if outcome.to_the_bit else ""
        say(f"same as expected{exactly}: {count(compared.events, 'event')} compared")
        return
    first = compared.differences[0]
    n = len({d.event for d in compared.differences})
    say(f"first difference: {first.explain()}")
    say(f"{n:,} of {count(compared.events, 'event')} {'differs' if n == 1 else 'differ'}. "
        f"Look closer: ds-runner replay {file} --only {first.event} --pdb")  # fmt: skip


def explained(dead: Fate, file: Path) -> str:
    """A dead event for people: what is wrong with it, the user's own traceback, and the command that shows it again."""
    detail = dead.value.get("detail")
    trace = detail.get("traceback", "") if isinstance(detail, dict) else ""
    lines = [f"dead: {dead.event} {dead.value.get('code')}: {dead.value.get('reason')}", trace.rstrip()]
    lines.append(f"Look closer: ds-runner replay {file} --only {dead.event} --pdb")
    return "\n".join(line for line in lines if line)
