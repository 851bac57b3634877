"""Python's verdict on every sample of program.yaml is the one that Go is held to as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.program import program_vectors as vectors


@pytest.mark.parametrize("path", vectors.INVALID, ids=lambda p: p.stem)
def test_an_invalid_program_is_refused_with_these_problems(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(vectors.VECTORS)
    expected = json.loads(path.with_suffix(".expect.json").read_text())
    assert vectors.verdict(str(path.relative_to(vectors.VECTORS))) == {"problems": expected}


@pytest.mark.parametrize("path", vectors.VALID, ids=lambda p: p.stem)
def test_a_valid_program_resolves_to_this(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(vectors.VECTORS)
    expected = json.loads(path.with_suffix(".resolved.json").read_text())
    assert vectors.verdict(str(path.relative_to(vectors.VECTORS))) == expected


@pytest.mark.parametrize("case", json.loads(vectors.CASES.read_text()), ids=lambda c: c["name"])
def test_files_and_parameters_are_laid_over_each_other(case: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(vectors.LAYERS)
    assert vectors.case_verdict(case) == case["expect"]


def test_there_are_enough_samples() -> None:
    assert len(vectors.INVALID) >= 30
    assert len(vectors.VALID) >= 10
