"""`ds-runner check`: is everything there, and does it fit together?"""

import typer

from pyrunner.commands import MISTAKE, NOT_SO
from pyrunner.commands.console import emit, no, ok
from pyrunner.commands.options import Env, Json, Params, ProgramPath
from pyrunner.project import open_project


def check(program: ProgramPath = None, env: Env = None, param: Params = None, json: Json = False) -> None:
    """Look at class, data and answers.

    All at once, the code as it is now: the model is fitted on a part of its history. Exit code 2 for mistakes, 1 for
    answers that differ between batches.
    """
    from pyrunner import checkup

    project = open_project(program, env, param)
    found = []
    for finding in checkup.findings(project):
        found.append(finding)
        if not json:
            (no if finding.fault else ok)(finding.text)
    faults = {f.fault for f in found}
    if json:
        emit([{"ok": not f.fault, "text": f.text} for f in found])
    if checkup.MISTAKE in faults:
        raise typer.Exit(MISTAKE)
    if checkup.NOT_SO in faults:
        raise typer.Exit(NOT_SO)
