"""Figures in README come from a committed run."""

from __future__ import annotations

import json

from tests.bench.readme import README, RESULTS, written


def test_the_table_of_costs_is_that_of_the_last_run() -> None:
    text = README.read_text()
    assert text == written(text, json.loads(RESULTS.read_text())), "run: python -m tests.bench.readme"
