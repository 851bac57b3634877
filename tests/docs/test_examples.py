"""All examples of README and docs/ are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from .examples import RUNNABLE, Block, Page, read, says, session

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def blocks_of(page: Path) -> list[Block]:
    return read(page.read_text(), str(page.relative_to(ROOT)))


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    with Page(tmp_path) as shared:
        for block in blocks_of(page):
            shared.play(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_says_whether_it_is_run(page: Path) -> None:
    undecided = [
        block.place for block in blocks_of(page) if block.language in RUNNABLE and not block.is_decided
    ]
    assert not undecided, "write run, file=NAME or norun=REASON after the language"


class TestTheHarness:
    def test_finds_blocks_with_their_place_and_words(self) -> None:
        (block,) = read("# A\n\n```bash run background\nsleep 1\n```\n", "a.md")
        assert (block.place, block.language, block.words) == ("a.md:3", "bash", ("run", "background"))

    def test_a_failing_script_fails_with_its_output(self, tmp_path: Path) -> None:
        (block,) = read("```bash run\necho hello; false\n```\n", "a.md")
        with Page(tmp_path) as page, pytest.raises(AssertionError, match=r"a\.md:1 ended with 1\nhello"):
            page.play(block)

    def test_a_console_block_is_compared_with_what_is_printed(self, tmp_path: Path) -> None:
        right, wrong = read(
            "```console run\n$ echo 12 rows\n... rows\n```\n```console run\n$ echo 12\n13\n```\n"
        )
        with Page(tmp_path) as page:
            page.play(right)
            with pytest.raises(AssertionError, match="expected\n13\nprinted\n12"):
                page.play(wrong)

    def test_a_session_is_split_at_its_prompts(self) -> None:
        assert list(session("$ a \\\n  b\nout\n$ c\n")) == [("a \\\n  b", "out"), ("c", "")]

    def test_nothing_expected_allows_anything(self) -> None:
        assert says("", "whatever")
        assert not says("one", "two")

    def test_what_runs_in_the_background_is_ended(self, tmp_path: Path) -> None:
        (block,) = read(
            "```bash run background\ntrap 'echo ended > said; exit' TERM; touch trapped; while :; do sleep .05; done\n```\n"
        )
        with Page(tmp_path) as page:
            page.play(block)
            page.play(*read("```bash run\nuntil [ -e trapped ]; do sleep .05; done\n```\n"))
        assert (tmp_path / "said").read_text() == "ended\n"
