"""`ds-runner new`: what is made, what is said, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from pyrunner.commands import new as verb
from pyrunner.errors import UserError

APP = typer.Typer()
APP.command()(verb.new)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("example", list(verb.Example))
def test_a_project_is_made_and_the_next_step_is_told(here: Path, example: str) -> None:
    done = CliRunner().invoke(APP, ["my-flights", "--example", example, "--no-input"])
    files = [f for f in (here / "my-flights").rglob("*") if f.is_file()]
    assert done.output == (
        f"created my-flights/ ({len(files)} files). You edit my_flights/science.py. "
        "Next: cd my-flights && pip install -e . && ds-runner check\n"
    )
    assert (here / "my-flights" / "my_flights" / "science.py").is_file()
    assert (here / "my-flights" / "program.yaml").is_file()


def test_without_a_terminal_nothing_is_asked(here: Path) -> None:
    assert CliRunner().invoke(APP, ["my-flights"]).exit_code == 0
    assert "FlightDelays" in (here / "my-flights" / "my_flights" / "science.py").read_text()


def test_a_name_that_is_missing_is_asked_for_with_an_example() -> None:
    with pytest.raises(UserError, match="Write: ds-runner new my-flights"):
        CliRunner().invoke(APP, ["--no-input"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("My Flights", "For example: my-flights"),
        ("2fast", "For example: fast"),
        ("-", "my-flights|No such option"),
        ("a" * 64, "at most 63"),
        ("json", "would hide the Python module"),
        ("class", "would hide"),
        ("pyrunner", "would hide"),
    ],
)
def test_a_name_that_cannot_be_is_refused_with_one_that_can(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        CliRunner().invoke(APP, [name, "--no-input"], catch_exceptions=False)


def test_a_folder_that_is_there_is_not_touched(here: Path) -> None:
    (here / "my-flights").mkdir()
    with pytest.raises(UserError, match=re.escape("my-flights is there already")):
        CliRunner().invoke(APP, ["my-flights", "--no-input"], catch_exceptions=False)
    assert list((here / "my-flights").iterdir()) == []
