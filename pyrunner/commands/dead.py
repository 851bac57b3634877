"""`ds-runner dead`: events that could not be scored: list, show, replay, drop."""

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Dead letters: list, show, replay, drop.")


@app.command("list")
def list_() -> None:
    """x"""


@app.command("show")
def show() -> None:
    """x"""
