"""An exception of the user's code as the user wants to see it: from their frame on, none of ours."""

import traceback
from pathlib import Path
from types import TracebackType

_OURS = str(Path(__file__).resolve().parent)


def told(error: BaseException) -> str:
    """The traceback from the first frame that is not ours, without frames of ours before it; always ends with the error."""
    shown = traceback.TracebackException(type(error), error, users_part(error.__traceback__), compact=True)
    return "".join(shown.format()).rstrip()


def users_part(tb: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame of the user's on, or None when it holds none."""
    while tb is not None and not is_users(tb.tb_frame.f_code.co_filename):
        tb = tb.tb_next
    return tb


def is_users(filename: str) -> bool:
    """Whether a file is the user's (or a library's that they call): not ours, not the import machinery's or typer's."""
    return not filename.startswith((_OURS, "<frozen importlib", "<frozen runpy")) and "/importlib/" not in filename
