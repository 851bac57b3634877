"""Whose fault it was, in the terms of the wire: the errors of single events, and what gives a whole batch back.

code              kind    what happened
(the user's own)  REJECT  the model returned Reject
(the user's own)  RETRY   the model returned Reject(retry=True)
null_value        REJECT  a null payload, and predict does not take list[In | None]
invalid_event     FAIL    the payload is not an event of the declared class
exception         FAIL    the model raised for this event alone
wrong_count       FAIL    the model returned another number of results than events
wrong_index       FAIL    a frame came back with another index
wrong_type        FAIL    the model returned something that is no answer
invalid_output    FAIL    a result does not fit the declared output class
"""

from __future__ import annotations

import errno
import sys
import sysconfig
import traceback
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple

import msgspec

import pyrunner
from pyrunner.data.errors import DataError

REJECT, FAIL, RETRY = 1, 2, 3
RETRY_MS = 1000

_DETAIL_BYTES = 6 * 1024  # PROTOCOL.md allows 8 KiB of detail; JSON's escapes need room
_REASON_CHARS = 2000


class RowError(NamedTuple):
    """The error of one event, field by field as RESULT carries it."""

    index: int  # type: ignore[assignment]  # a tuple's own index() is not missed
    kind: int
    code: str
    reason: str
    detail: bytes | None = None
    retry_ms: int = 0


class Failure(NamedTuple):
    """A RowError that does not know its event yet; one of the possible outcomes of an event."""

    kind: int
    code: str
    reason: str
    detail: bytes | None = None
    retry_ms: int = 0

    def at(self, index: int) -> RowError:
        return RowError(index, *self)


class Surroundings(Exception):
    """The surroundings failed, not an event: the whole batch goes back and comes again after `retry_ms`."""

    def __init__(self, code: str, reason: str, retry_ms: int = RETRY_MS) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_ms = retry_ms


def surroundings_of(error: BaseException) -> Surroundings | None:
    """What an exception says of the surroundings; None when it is about the events.

    Memory, network and timeouts are nobody's fault here, and so are the machine's own limits (no space, too many
    files), and calls of ctx that may succeed later or whose lease has ended. A missing file may well be named by the event, so it is not.
    """
    if isinstance(error, Surroundings):
        return error
    if isinstance(error, DataError):
        return Surroundings(error.code, str(error)) if error.retry or error.code in _NOBODYS else None
    if isinstance(error, MemoryError):
        return Surroundings("out_of_memory", f"out of memory: {error}".rstrip(": "))
    if isinstance(error, (ConnectionError, TimeoutError)):
        return Surroundings("unavailable", said(error))
    if isinstance(error, OSError) and error.errno in _LIMITS:
        return Surroundings("unavailable", said(error))
    return None


_NOBODYS = {
    "stale_lease",
    "no_bridge",
}  # of DataError: the batch is not ours any more, or there is nobody to ask
_LIMITS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.EAGAIN}


def exception_failure(error: BaseException) -> Failure:
    """`ZeroDivisionError: division by zero (science.py:41 in estimate)`, with the user's part of the traceback as detail."""
    place = _place(user_frames(error.__traceback__))
    reason = f"{said(error)} ({place})" if place else said(error)
    detail = msgspec.json.encode({"place": place, "traceback": user_traceback(error)})
    return Failure(FAIL, "exception", reason[:_REASON_CHARS], detail)


def said(error: BaseException) -> str:
    """`KeyError: 'UA'`: an exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def user_traceback(error: BaseException) -> str:
    """The traceback from the first frame that is the user's, cut in the middle where it is long."""
    _forget_attempts(error)
    frames = user_frames(error.__traceback__)
    skip = _depth_of_first_user_frame(error.__traceback__)
    lines = traceback.format_exception(
        type(error), error, _skip(error.__traceback__, skip) if frames else None
    )
    text = "".join(lines)
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= _DETAIL_BYTES:
        return text
    half = _DETAIL_BYTES // 2
    return encoded[:half].decode("utf-8", "ignore") + "\n  ...\n" + encoded[-half:].decode("utf-8", "ignore")


def _forget_attempts(error: BaseException) -> None:
    """Cut what Python notes as the context of an exception because we tried larger parts of the batch before.

    Those have a frame of ours at their beginning; an exception that the user's own code handled begins in that code.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        inner = waiting.pop()
        if inner is None or id(inner) in seen:
            continue
        seen.add(id(inner))
        context = inner.__context__
        if (
            context is not None
            and context.__traceback__ is not None
            and _is_ours(context.__traceback__.tb_frame)
        ):
            inner.__context__ = None
        waiting += [inner.__cause__, inner.__context__]


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def user_frames(tb: TracebackType | None) -> list[tuple[FrameType, int]]:
    """The frames of code that is neither ours, nor a library's, nor Python's own, outermost first, with their lines."""
    return [(frame, line) for frame, line in traceback.walk_tb(tb) if _is_users(frame)]


def _place(frames: list[tuple[FrameType, int]]) -> str:
    if not frames:
        return ""
    frame, line = frames[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line} in {frame.f_code.co_name}"


def _depth_of_first_user_frame(tb: TracebackType | None) -> int:
    return next((depth for depth, (frame, _) in enumerate(traceback.walk_tb(tb)) if _is_users(frame)), 0)


def _skip(tb: TracebackType | None, frames: int) -> TracebackType | None:
    for _ in range(frames):
        tb = tb.tb_next if tb is not None else None
    return tb


_PATHS = sysconfig.get_paths()
_OURS = f"{Path(pyrunner.__file__).parent}/"
_NOT_THE_USERS = tuple(
    f"{path}/"
    for path in {_OURS.rstrip("/"), *(_PATHS[k] for k in ("stdlib", "platstdlib", "purelib", "platlib"))}
)


def _is_users(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith("<frozen") or file == "<string>":
        return False
    module = frame.f_globals.get("__name__", "")
    top = module.partition(".")[0] if isinstance(module, str) else ""
    return not file.startswith(_NOT_THE_USERS) or (top in _installed_programs)


_installed_programs: set[str] = set()


def mark_as_users(cls: type[Any]) -> None:
    """The package of a model class is the user's, even where it is installed among the libraries."""
    top = cls.__module__.partition(".")[0]
    if top not in ("pyrunner", "sklearn", "torch") and top in sys.modules:
        _installed_programs.add(top)
