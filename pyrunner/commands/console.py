"""What commands print: results on stdout, everything for people only on stderr."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


def say(line: str = "") -> None:
    """A line of the result. Flushed, so that where both streams go to one file the lines stand in the order in which
    they were written."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """A line for the person who waits; nothing that a program would parse."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def emit(value: Any) -> None:
    """The result as JSON, for `--json`."""
    say(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def ok(text: str) -> None:
    """A check that holds."""
    say(f"  {_coloured('ok', 32)}  {text}")


def no(text: str) -> None:
    """A check that does not. Further lines of the text are indented below the first."""
    first, *rest = text.splitlines()
    say(f"  {_coloured('no', 31)}  {first}")
    for line in rest:
        say(f"      {line}")


def tell_warnings() -> None:
    """Let what the SDK warns of (a misspelt field) be read as a sentence. Verbs that run on configure logs of their own."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def progress() -> Progress:
    """A progress display on a terminal; nothing without one."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def working(what: str) -> Iterator[None]:
    """A spinner with the time passed while something of unknown length runs."""
    with stages() as on_stage:
        on_stage(what)
        yield


@contextmanager
def stages() -> Iterator[Callable[[str], None]]:
    """The same for work in several stages: a function that is told the name of each as it begins."""
    console = Console(stderr=True)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as p:
        task = p.add_task("", total=None)
        yield lambda stage: p.update(task, description=stage)


def count(n: int, noun: str) -> str:
    """`1 command`, `3 commands`, `252,484 rows`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _coloured(text: str, code: int) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text
