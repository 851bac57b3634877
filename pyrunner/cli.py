"""The command line: `ds-runner`, and the same verbs under a program's own name.

This file assembles. Each verb is a file in `pyrunner/commands/`; exit codes are in that package's docstring; mistakes are
turned into a message and an exit code in one place, `Verbs.invoke`.

A program makes its own CLI (the template does):

    # my_flights/__main__.py, and in pyproject.toml: my-flights = "my_flights.__main__:main"
    main = program_app("my_flights")
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pyrunner.bridge import Unavailable
from pyrunner.commands import INTERRUPTED, MISTAKE, UNAVAILABLE
from pyrunner.commands import audit as audit_verb
from pyrunner.commands import check as check_verb
from pyrunner.commands import config as config_verb
from pyrunner.commands import dead as dead_verb
from pyrunner.commands import doctor as doctor_verb
from pyrunner.commands import evaluate as evaluate_verb
from pyrunner.commands import manifest as manifest_verb
from pyrunner.commands import models as models_verb
from pyrunner.commands import new as new_verb
from pyrunner.commands import pause as pause_verbs
from pyrunner.commands import predict as predict_verb
from pyrunner.commands import publish as publish_verb
from pyrunner.commands import record as record_verb
from pyrunner.commands import replay as replay_verb
from pyrunner.commands import roll as roll_verb
from pyrunner.commands import sample as sample_verb
from pyrunner.commands import schema as schema_verb
from pyrunner.commands import score_batch as score_batch_verb
from pyrunner.commands import score_stream as score_stream_verb
from pyrunner.commands import seek as seek_verb
from pyrunner.commands import serve_api as serve_api_verb
from pyrunner.commands import shadow as shadow_verb
from pyrunner.commands import sql as sql_verb
from pyrunner.commands import tail as tail_verb
from pyrunner.commands import train as train_verb
from pyrunner.commands import up as up_verb
from pyrunner.commands import version as version_verb
from pyrunner.commands.console import note, tell_warnings
from pyrunner.commands.userverbs import user_verb, user_verbs
from pyrunner.data import DataError
from pyrunner.errors import UserError
from pyrunner.project import looking_for
from pyrunner.scoring import Surroundings

EPILOG = "Exit codes: 0 done, 1 not so (differs, failed check), 2 a mistake to mend, 3 unavailable, 130 interrupted."
DEBUG = "--debug"

_ELSEWHERE = "Run as its owner, or in a folder that you may write to"
_ROOM = "Make room, then run it again"
# What the folder refuses is the user's to mend; any other OSError is a bug, and its traceback what a report needs.
REFUSALS = {
    errno.EACCES: _ELSEWHERE,
    errno.EPERM: _ELSEWHERE,
    errno.EROFS: _ELSEWHERE,
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
}


class Verbs(TyperGroup):
    """The group of verbs: knows the program's own commands too, and turns mistakes into messages and exit codes."""

    package: str | None = None  # of the program whose own CLI this is

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take `--debug` wherever it stands, so that it can be added behind a command that failed."""
        if DEBUG in args:
            args.remove(DEBUG)
            os.environ["DS_DEBUG"] = "1"
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return super().get_command(ctx, cmd_name) or self._own(lambda: user_verb(cmd_name, self.package))

    def list_commands(self, ctx: Any) -> list[str]:
        own = self._own(lambda: user_verbs(self.package)) if self.package else None
        return [*super().list_commands(ctx), *(own or [])]

    def _own(self, look: Callable[[], Any]) -> Any:
        """What the program brings itself; a program that cannot be read brings nothing, and only its own CLI says why."""
        try:
            return look()
        except UserError as e:
            if self.package:
                note(str(e))
            return None

    def invoke(self, ctx: Any) -> Any:
        with looking_for(self.package):
            return _translated(lambda: super(Verbs, self).invoke(ctx))


def _translated(act: Callable[[], Any]) -> Any:
    """Run it; say a mistake in words and end with its exit code. With `--debug` (or DS_DEBUG=1) the traceback is shown."""
    try:
        return act()
    except (UserError, Unavailable, KeyboardInterrupt) as e:
        if os.environ.get("DS_DEBUG") == "1":
            raise
        if isinstance(e, KeyboardInterrupt):
            note("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        note(str(e))
        raise typer.Exit(MISTAKE if isinstance(e, UserError) else UNAVAILABLE) from None
    except (DataError, Surroundings) as e:
        if os.environ.get("DS_DEBUG") == "1":
            raise
        note(str(e))
        passing = isinstance(e, Surroundings) or e.retry
        raise typer.Exit(UNAVAILABLE if passing else MISTAKE) from None
    except OSError as e:
        if os.environ.get("DS_DEBUG") == "1" or e.errno not in REFUSALS:
            raise
        note(f"{_named(e)}{e.strerror}. {REFUSALS[e.errno]}")
        raise typer.Exit(MISTAKE) from None


def _named(error: OSError) -> str:
    """The file that was refused; for a draft of ours, whose name says nothing, its folder."""
    if not isinstance(error.filename, str):
        return ""
    path = Path(error.filename)
    return f"{path.parent.resolve() if path.name.startswith('.') else path}: "


def _assemble(name: str, verbs: type[Verbs]) -> typer.Typer:
    app = typer.Typer(
        name=name,
        cls=verbs,
        no_args_is_help=True,
        pretty_exceptions_enable=False,  # an exception of ours is a bug: the plain traceback is what a report needs
        rich_markup_mode=None,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    app.command("new")(new_verb.new)
    app.command("check")(check_verb.check)
    app.command("train")(train_verb.train)
    app.command("evaluate")(evaluate_verb.evaluate)
    app.command("predict")(predict_verb.predict)
    app.command("replay")(replay_verb.replay)
    app.command("up")(up_verb.up)
    app.command("publish")(publish_verb.publish)
    app.command("tail")(tail_verb.tail)
    app.command("sample")(sample_verb.sample)
    app.command("record")(record_verb.record)
    app.add_typer(dead_verb.app, name="dead")
    app.command("pause")(pause_verbs.pause)
    app.command("resume")(pause_verbs.resume)
    app.command("seek")(seek_verb.seek)
    app.command("shadow")(shadow_verb.shadow)
    app.command("roll")(roll_verb.roll)
    app.command("score-stream")(score_stream_verb.score_stream)
    app.command("stream-score", hidden=True)(score_stream_verb.score_stream)
    app.command("serve-api")(serve_api_verb.serve_api)
    app.command("score-batch")(score_batch_verb.score_batch)
    app.command("sql")(sql_verb.sql)
    app.command("audit")(audit_verb.audit)
    app.add_typer(models_verb.app, name="models")
    app.command("config")(config_verb.config)
    app.command("schema")(schema_verb.schema)
    app.command("manifest")(manifest_verb.manifest)
    app.command("doctor")(doctor_verb.doctor)
    app.command("version")(version_verb.version)
    return app


def _root(
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of a mistake. May stand anywhere.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=version_verb.print_and_exit, help="Show it and exit."
        ),
    ] = False,
) -> None:
    """Write one class, then train it, stream-score with it, serve it and replay it."""
    tell_warnings()


app = _assemble("ds-runner", Verbs)


def main() -> None:
    """The console script `ds-runner`."""
    app()


def program_app(package: str) -> typer.Typer:
    """The CLI of a program: every verb of `ds-runner`, bound to this package, and its own `@command` functions.

    The result is called without arguments by a console script. It works in the project's folder, below it, and, for a package
    installed with `pip install -e`, from anywhere.
    """
    bound = type("ProgramVerbs", (Verbs,), {"package": package})
    return _assemble(package.replace("_", "-"), bound)


if __name__ == "__main__":
    main()
