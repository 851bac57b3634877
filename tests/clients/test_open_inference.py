"""Real clients of the Open Inference Protocol, each in the environment that `make tests/clients/.env/.installed` makes."""

from __future__ import annotations

import ast
import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from .served import POINTS, READINGS, Served, served

HERE = Path(__file__).parent
PYTHON = HERE / ".env" / "bin" / "python"
SCRIPTS = {"triton.py": ("http_", "grpc_"), "mlserver_infer.py": ("mlserver_",)}


def checks_of(script: str) -> list[str]:
    """The functions without parameters that a script runs as checks."""
    tree = ast.parse((HERE / script).read_text())
    functions = [f for f in tree.body if isinstance(f, ast.FunctionDef) and not f.args.args]
    return [f.name for f in functions if f.name.startswith(SCRIPTS[script])]


CHECKS = [(script, check) for script in SCRIPTS for check in checks_of(script)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Served]]:
    assert PYTHON.exists(), "the clients have no environment. Run: make tests/clients/.env/.installed"
    folder = tmp_path_factory.mktemp("clients")
    with ExitStack() as stack:
        readings = stack.enter_context(served(folder / "readings", "readings", "Readings", READINGS))
        points = stack.enter_context(served(folder / "points", "points", "Points", POINTS))
        yield readings, points


@pytest.fixture(scope="module")
def verdicts(models: tuple[Served, Served]) -> dict[str, str]:
    """What went wrong with each check, nothing where all is well. Each script runs once, for its imports take seconds."""
    readings, points = models
    addresses = [readings.http, readings.grpc, points.http, points.grpc]
    found = {}
    for script in SCRIPTS:
        command = [str(PYTHON), str(HERE / script), *addresses]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        for line in done.stdout.splitlines():
            said = json.loads(line)
            found[said["check"]] = said["problem"]
    return found


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(("script", "check"), CHECKS, ids=[check for _, check in CHECKS])
def test_client(verdicts: dict[str, str], script: str, check: str) -> None:
    assert check in verdicts, f"{script} did not run {check}"
    assert not verdicts[check], verdicts[check]


# --- the table of docs/open-inference.md ------------------------------------------------------------------------------

PAGE = HERE.parents[1] / "docs" / "open-inference.md"
BRIDGE = HERE.parents[1] / "bridge_go"


@cache
def go_tests() -> str:
    tests = [path for folder in ("front", "repository") for path in (BRIDGE / folder).glob("*_test.go")]
    return "\n".join(path.read_text() for path in tests)


def conformance() -> list[tuple[str, list[str]]]:
    """Each line of the table and the tests that it names."""
    table = PAGE.read_text().partition("<!-- conformance -->")[2].partition("<!-- end -->")[0]
    lines = [line for line in table.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [(cell[0], cell[-1].replace("`", "").replace(",", " ").split()) for cell in cells]


def test_each_line_of_the_conformance_table_names_a_test_that_is_there() -> None:
    assert len(conformance()) > 20
    clients = {check for _, check in CHECKS}
    for line, tests in conformance():
        assert tests, f"no test is named for: {line}"
        for name in tests:
            assert name in clients or f"func {name}(" in go_tests(), f"{line}: there is no test {name}"


def test_each_check_of_a_client_is_in_the_conformance_table() -> None:
    named = {name for _, tests in conformance() for name in tests}
    assert sorted(check for _, check in CHECKS if check not in named) == []
