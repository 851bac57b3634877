"""An exception of the user's code as the user wants to see it: from their first frame on, none of ours before it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyrunner.errors import UserError


def told(error: BaseException) -> str:
    """The traceback in the form that dead letters carry too."""
    from pyrunner.scoring.failures import user_traceback

    return user_traceback(error).rstrip()


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Within, what the user's code raises becomes a UserError with the traceback from their frame; our own mistakes rise."""
    from pyrunner.scoring.failures import user_frames

    try:
        yield
    except UserError:
        raise
    except Exception as e:
        if not user_frames(e.__traceback__):
            raise
        raise UserError(f"{what}\n{told(e)}") from e
