"""What is registered is documented: keys of program.yaml, codes of errors, metrics of the workers, pages, exported names."""

from __future__ import annotations

import inspect
import re

import pytest

import pyrunner
from pyrunner.testing import plugin

from .reference import DOCS, TABLES, current

PAGES = sorted(page.name for page in DOCS.glob("*.md"))


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_follows_from_the_code_is_current(name: str) -> None:
    page, have, wanted = current(name)
    assert have == wanted, f"{page.name} is not current. Run: python -m tests.docs.reference"


def test_every_page_is_listed() -> None:
    index = (DOCS / "index.md").read_text()
    assert [page for page in PAGES if page != "index.md" and f"]({page})" not in index] == []


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (DOCS / page).read_text())
    assert [target for target in targets if not (DOCS / target).exists()] == []


def test_every_exported_name_is_told_of() -> None:
    told = "".join((DOCS / page).read_text() for page in PAGES)
    missing = [name for name in pyrunner.__all__ if not re.search(rf"\b{name}\b", told)]
    assert not missing, "write about them in docs/models.md"


def test_every_fixture_is_told_of() -> None:
    source = inspect.getsource(plugin)
    fixtures = re.findall(r"@pytest\.fixture\ndef (\w+)", source)
    told = (DOCS / "testing.md").read_text()
    assert fixtures
    assert [name for name in fixtures if name not in told] == []


def test_every_setting_that_a_model_class_may_have_is_told_of() -> None:
    told = (DOCS / "models.md").read_text()
    settings = [name for name in vars(pyrunner.Model) if not name.startswith("_") and name not in ("learnt",)]
    assert [name for name in settings if name not in told] == []
