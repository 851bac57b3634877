"""What Python code gets from program.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from pyrunner.errors import UserError
from pyrunner.program import Duration, ProgramError, Size, load_program
from pyrunner.program.schema import FOR_THE_BRIDGE, SHIPPED, rendered
from pyrunner.program.words import distance, nearest, quote
from tests.unit.program import program_vectors as vectors

DESIGN = vectors.VECTORS / "valid" / "design.yaml"


def test_names_lead_to_what_they_name() -> None:
    program = load_program(DESIGN)
    assert program.name == "flight-delays"
    assert program.command("stream-score") is program.command("score-stream")
    assert program.command("score-stream").dead_letter == "departures.dead"
    assert program.stream("departures.dead").topic == "departures.dead"
    assert program.folder / program.dataset("history").path == DESIGN.parent / "data/history.parquet"
    with pytest.raises(KeyError):
        program.command("nothing")


def test_durations_and_sizes_keep_their_spelling_and_give_their_value() -> None:
    command = load_program(DESIGN).command("score-stream")
    assert (command.deadline, command.deadline.seconds) == ("5s", 5.0)
    assert (command.batch.bytes, command.batch.bytes.bytes) == ("256KiB", 262144)
    assert [Duration(d).ns for d in ("0.1s", "1.001ms", "2m", "3us", "1h")] == [
        10**8,
        1001000,
        12 * 10**10,
        3000,
        36 * 10**11,
    ]
    assert [Size(s).bytes for s in ("12", "12B", "1KiB", "2MiB", "1GiB")] == [12, 12, 1024, 2**21, 2**30]


def test_the_error_is_a_user_error_with_one_line_a_problem() -> None:
    with pytest.raises(UserError) as refused:
        load_program(vectors.VECTORS / "invalid" / "everything-at-once.yaml")
    error = refused.value
    assert isinstance(error, ProgramError)
    assert str(error).splitlines() == [str(p) for p in error.problems]
    assert len(error.problems) > 5


def test_no_problem_shows_a_secret() -> None:
    for path in vectors.INVALID:
        with pytest.raises(ProgramError) as refused:
            load_program(path)
        assert "s3cret" not in str(refused.value), path.name


def test_the_resolved_program_is_a_program_again(tmp_path: Path) -> None:
    for path in vectors.VALID:
        once = load_program(path).model_dump(exclude_none=True)
        (tmp_path / "program.yaml").write_text(yaml.safe_dump(once))
        assert load_program(tmp_path / "program.yaml").model_dump(exclude_none=True) == once, path.name


@pytest.mark.parametrize("path", [SHIPPED, FOR_THE_BRIDGE], ids=["shipped", "for the bridge"])
def test_the_schema_is_current(path: Path) -> None:
    assert path.read_text() == rendered(), "run: python -m pyrunner.program"


def test_editors_accept_what_we_accept_by_the_schema() -> None:
    schema = json.loads(SHIPPED.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in vectors.VALID:
        jsonschema.validate(load_program(path).model_dump(exclude_none=True), schema)


def test_editors_refuse_unknown_keys_and_bad_values_by_the_schema() -> None:
    schema = json.loads(SHIPPED.read_text())
    for name in (
        "unknown-key-command",
        "bad-duration",
        "bad-size",
        "missing-model",
        "bad-words",
        "bad-names",
    ):
        sample = yaml.safe_load((vectors.VECTORS / "invalid" / f"{name}.yaml").read_text())
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(sample, schema)


def test_the_nearest_name_is_close_or_none() -> None:
    assert nearest("departure", ["estimates", "departures"]) == "departures"
    assert nearest("ouptut", ["input", "output"]) == "output"
    assert nearest("zzz", ["input", "output"]) is None
    assert nearest("Train", ["train"]) == "train"
    assert [distance(*p) for p in (("", ""), ("", "abc"), ("ab", "ba"), ("kitten", "sitting"))] == [
        0,
        3,
        1,
        3,
    ]


def test_quotes_are_safe_to_print() -> None:
    assert quote('a"b\\c\n\x1b\x7f') == '"a\\"b\\\\c\\n\\u001b\\u007f"'
    assert quote("x" * 41) == '"' + "x" * 40 + '..."'
