"""The vectors of tests/vectors/program: how they are read, and how what is expected is written anew.

`python tests/unit/program/program_vectors.py` writes every .expect.json, .resolved.json and the results in
layers/cases.json from what Python says now. Read the diff before committing it: Go is held to it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pyrunner.program import Problem, Program, ProgramError, load_program

VECTORS = Path(__file__).parents[2] / "vectors" / "program"
VALID = sorted((VECTORS / "valid").glob("*.yaml"))
INVALID = sorted((VECTORS / "invalid").glob("*.yaml"))
LAYERS = VECTORS / "layers"
CASES = LAYERS / "cases.json"


def told(problem: Problem) -> dict[str, Any]:
    """A problem as a vector holds it. The wording and place of syntax errors is each YAML library's own."""
    if problem.code == "yaml":
        return {"code": "yaml"}
    place = problem.place
    told = {
        "line": place.line,
        "col": place.col,
        "path": problem.path,
        "code": problem.code,
        "text": problem.text,
    }
    return told if place.line else {"place": str(place), **told}


def resolved(program: Program, file: str) -> dict[str, Any]:
    """A resolved program as a vector holds it; the origin of what is written in `file` is line:col."""
    origins = {path: origin.removeprefix(f"{file}:") for path, origin in program.origins.items()}
    return {"program": program.model_dump(exclude_none=True), "origins": origins}


def verdict(file: str, env: str | None = None, params: tuple[str, ...] = ()) -> dict[str, Any]:
    """What loading says: `{"problems": [...]}` or a resolved program. The file is relative to the working folder."""
    try:
        return resolved(load_program(Path(file), env, params), file)
    except ProgramError as error:
        return {"problems": [told(p) for p in error.problems]}


def case_verdict(case: dict[str, Any]) -> dict[str, Any]:
    """The verdict on a case of layers, in its folder."""
    return verdict(case.get("file", "program.yaml"), case["env"], tuple(case["params"]))


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def regenerate() -> None:
    """Writes all that is expected."""
    os.chdir(VECTORS)
    for path in VALID:
        _write(path.with_suffix(".resolved.json"), verdict(str(path.relative_to(VECTORS))))
    for path in INVALID:
        _write(path.with_suffix(".expect.json"), verdict(str(path.relative_to(VECTORS)))["problems"])
    os.chdir(LAYERS)
    cases = json.loads(CASES.read_text())
    _write(CASES, [{**case, "expect": case_verdict(case)} for case in cases])


if __name__ == "__main__":
    regenerate()
