"""`ds-runner sql`: ask a database of program.yaml, through the bridge."""

import csv
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyrunner.commands.console import count, note, progress, say
from pyrunner.commands.options import BridgeAddress, Env, ProgramPath, TokenFile
from pyrunner.data.connect import access_to
from pyrunner.errors import UserError
from pyrunner.project import open_project

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 100  # rows of a table on a terminal
PAGE = 10_000

Sql = Annotated[
    str, typer.Argument(metavar="SQL|@FILE|-", help="One statement that reads; :name is a parameter.")
]
Connection = Annotated[
    str | None, typer.Option("--con", metavar="NAME", help="The connection. Default: the only database.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--param", "-p", metavar="NAME=VALUE", help="A parameter of the statement. May be repeated."
    ),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write parquet, csv or jsonl instead.")
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help=f"Most rows. Default: all, in a table {SHOWN}.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that a page may take.")]


def sql(
    statement: Sql,
    con: Connection = None,
    param: Parameters = None,
    output: Output = None,
    limit: Limit = None,
    json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="CSV.")] = False,
    timeout: Timeout = 30.0,
    program: ProgramPath = None,
    env: Env = None,
    bridge: BridgeAddress = None,
    token_file: TokenFile = None,
) -> None:
    """Ask a database of program.yaml.

    Prints a table, JSON lines or CSV, or writes a file, a page at a time: memory does not grow with the result. Values
    of --param are read as JSON where they are numbers, true, false or null, else as text.
    """
    from pyrunner.data import queries

    text, params = _text(statement), _params(param or [])
    most = limit if limit or output or json or as_csv else SHOWN + 1
    with access_to(open_project(program, env), bridge, token_file) as access:
        rows = min(most or PAGE, PAGE)
        with closing(queries.pages(access, "sql", text, con, params, rows, timeout)) as pages:
            found = _first(pages, most)
            if output:
                _to_file(found, output)
            elif json:
                _to_lines(found)
            elif as_csv:
                _to_csv(found)
            else:
                _to_table(found, limit or SHOWN)


def _text(given: str) -> str:
    if given == "-":
        return sys.stdin.read()
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except OSError as e:
        raise UserError(f"sql: {given[1:]}: {e.strerror}") from None


def _params(given: list[str]) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise UserError(f"sql: --param {one}: write NAME=VALUE, such as --param carrier=UA")
        params[name] = _value(value)
    return params


def _value(text: str) -> Any:
    import msgspec

    try:
        value = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
    return value if value is None or isinstance(value, (bool, int, float)) else text


def _first(pages: "Iterator[pa.Table]", most: int | None) -> "Iterator[pa.Table]":
    """Pages of the first `most` rows, at least one page."""
    left = most
    for page in pages:
        part = page if left is None else page.slice(0, left)
        yield part
        if left is not None and (left := left - part.num_rows) <= 0:
            return


def _to_file(pages: "Iterator[pa.Table]", path: Path) -> None:
    from pyrunner.data.export import write_file

    with progress() as bar:
        task = bar.add_task("reading", total=None)
        rows = write_file(pages, path, lambda n: bar.advance(task, n))
    say(f"{count(rows, 'row')} in {path}")


def _to_lines(pages: "Iterator[pa.Table]") -> None:
    from pyrunner.data.export import lines

    for page in pages:
        for line in lines(page):
            say(line)


def _to_csv(pages: "Iterator[pa.Table]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, page in enumerate(pages):
        if not number:
            writer.writerow(page.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in page.columns), strict=True))
    sys.stdout.flush()


def _to_table(pages: "Iterator[pa.Table]", most: int) -> None:
    """A table for people; without a terminal as wide as it needs to be."""
    import pyarrow as pa
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = pa.concat_tables(pages)
    shown = found.slice(0, most)
    table = Table(box=None, header_style="bold")
    for field in shown.schema:
        table.add_column(
            Text(field.name), justify="right" if _is_number(field.type) else "left", overflow="fold"
        )
    for row in zip(*(column.to_pylist() for column in shown.columns), strict=True):
        table.add_row(*(Text("" if value is None else _shown(value)) for value in row))
    console = Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 10_000)
    console.print(table)
    more = " shown, there are more: --limit N, or -o FILE" if found.num_rows > most else ""
    note(count(shown.num_rows, "row") + more)


def _is_number(kind: "pa.DataType") -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _shown(value: Any) -> str:
    return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else str(value)
