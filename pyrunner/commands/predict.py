"""`ds-runner predict`: answers to events given on the command line, without a server."""

import json as jsonlib
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from pyrunner.answers import Answer, answers, body
from pyrunner.commands import MISTAKE
from pyrunner.commands.console import count, note, say
from pyrunner.commands.options import Env, ModelRef, Params, ProgramPath
from pyrunner.data.connect import access_to
from pyrunner.errors import UserError
from pyrunner.project import open_project

Given = Annotated[
    str, typer.Argument(metavar="JSON|@FILE|-", help="One event, a list of them, or JSON lines.")
]


def predict(
    event: Given,
    model: ModelRef = None,
    program: ProgramPath = None,
    env: Env = None,
    param: Params = None,
) -> None:
    """Answer events without a server.

    One event or a list of them, in the form that the API answers in. Exit code 2 when one could not be answered.
    """
    from pyrunner.scoring import Scorer

    payloads, many = _events(_text(event))
    project = open_project(program, env, param)
    with access_to(project) as access:
        trained = project.reaching(access).trained(model, verb="predict")
        scored = Scorer(trained.model, model_version=trained.version, access=access).score(payloads)
    found = answers(scored, len(payloads))
    say(jsonlib.dumps(body(found, many=many), ensure_ascii=False))
    if scored.writes:
        note(f"{count(len(scored.writes), 'write')} of the model left out: predict changes nothing")
    failed = [a for a in found if a.failed]
    for a in failed:
        note(_explained(a, many))
    if failed:
        raise typer.Exit(MISTAKE)


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except OSError as e:
        raise UserError(f"predict: {given[1:]}: {e.strerror}") from None


def _events(text: str) -> tuple[list[bytes], bool]:
    """The payloads, each as it was written, and whether there may be many: a list, or several lines.

    What is no JSON is a payload too: the scorer says what is wrong with it.
    """
    stripped = text.strip()
    if not stripped:
        raise UserError("""predict: no event. Write for example: ds-runner predict '{"id": "1"}'""")
    lines = [line for line in stripped.split("\n") if line.strip()]
    if len(lines) > 1 and _is_json(lines[0]):
        return [line.encode() for line in lines], True
    try:
        if stripped.startswith("["):
            return [bytes(row) for row in msgspec.json.decode(stripped, type=list[msgspec.Raw])], True
    except msgspec.DecodeError:
        pass
    return [stripped.encode()], False


def _is_json(line: str) -> bool:
    try:
        msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return True


def _explained(answer: Answer, many: bool) -> str:
    """For people: whose row it was and what is wrong; of the user's own exception the traceback from their frame."""
    where = f"row {answer.row}: " if many else ""
    trace = answer.traceback
    return f"{where}{answer.reason}" + (f"\n{trace.rstrip()}" if trace else "")
