"""Reads the fenced examples of a Markdown page and runs them, in their order, in one scratch folder.

What is done with a block stands in its info string, after the language:

    bash run                  a script; must end with 0
    bash run background       started, and ended with SIGTERM after the page's last block
    python run                a program of its own
    console run               lines after `$ ` are run, what follows is what they print (`...` stands for anything)
    console run in=my-flights the same, in a folder below the scratch folder
    python file=science.py    written to that file for the blocks after it; any language
    bash norun=REASON         shown only; the reason is one word, such as needs-docker

JSON, TOML and YAML blocks are parsed. A block in bash, console or python that says neither is an error: an example that nobody
runs goes wrong unnoticed.
"""

from __future__ import annotations

import doctest
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

FENCE = re.compile(r"^```(?P<info>[^\n`]+)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
RUNNABLE = {"bash", "console", "python"}
SECONDS = 500


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    line: int
    language: str
    words: tuple[str, ...]
    body: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def option(self, name: str) -> str | None:
        """The value of `name=value` in the info string."""
        return next((word.partition("=")[2] for word in self.words if word.startswith(name + "=")), None)

    @property
    def is_decided(self) -> bool:
        """Says whether it is to be run."""
        return bool({"run"} & set(self.words) or self.option("file") or self.option("norun"))


def read(text: str, page: str = "page.md") -> list[Block]:
    """The fenced blocks of a page that name a language."""
    found = []
    for match in FENCE.finditer(text):
        language, *words = match["info"].split()
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, tuple(words), match["body"]))
    return found


class Page:
    """A folder and the processes that the examples of one page share. A context manager: ends what runs in the background."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "120",
        }
        self._background: list[tuple[Block, subprocess.Popen[bytes]]] = []

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        for block, process in reversed(self._background):
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise AssertionError(f"{block.place}: did not end within 90 s of SIGTERM") from None

    def play(self, block: Block) -> None:
        """Do what the block says. Raises AssertionError with the place and what was printed."""
        if name := block.option("file"):
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(block.body)
        if block.language == "json":
            json.loads(block.body)
        elif block.language == "toml":
            tomllib.loads(block.body)
        elif block.language in ("yaml", "yml"):
            list(yaml.safe_load_all(block.body))
        elif "background" in block.words:
            self._start(block)
        elif "run" in block.words:
            self._run(block)

    def _start(self, block: Block) -> None:
        command = ["bash", "-euo", "pipefail", "-c", block.body]
        process = subprocess.Popen(command, cwd=self._cwd(block), env=self._env, process_group=0)
        self._background.append((block, process))

    def _cwd(self, block: Block) -> Path:
        return self.folder / (block.option("in") or "")

    def _run(self, block: Block) -> None:
        if block.language == "console":
            for command, expected in session(block.body):
                printed = self._output(block, ["bash", "-uo", "pipefail", "-c", command], codes=None)
                assert says(expected, printed), (
                    f"{block.place}: $ {command}\nexpected\n{expected}\nprinted\n{printed}"
                )
        elif block.language == "python":
            self._output(block, [sys.executable, "-c", block.body])
        else:
            self._output(block, ["bash", "-euo", "pipefail", "-c", block.body])

    def _output(self, block: Block, command: list[str], codes: set[int] | None = frozenset({0})) -> str:
        done = subprocess.run(
            command,
            cwd=self._cwd(block),
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
        )
        assert codes is None or done.returncode in codes, (
            f"{block.place} ended with {done.returncode}\n{done.stdout}"
        )
        return done.stdout


def session(body: str) -> Iterator[tuple[str, str]]:
    """The (command, expected output) pairs of a console block. A `\\` at its end continues a command."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        last = next(i for i, line in enumerate(lines) if not line.endswith("\\"))
        yield "\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :]).strip()


def says(expected: str, printed: str) -> bool:
    """Is this what was printed, up to white space and `...`? Nothing expected allows anything."""
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return not expected or doctest.OutputChecker().check_output(
        expected + "\n", printed.strip() + "\n", flags
    )
