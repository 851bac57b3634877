"""Logs: quiet when well, one line a state change; pretty on a terminal, JSON otherwise; secrets masked.

`configure` sets structlog and the standard library's logging, which user code and libraries use, to the same lines on
standard error. Standard output belongs to results.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

from pyrunner.errors import UserError

MASK = "***"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:token|password|passwd|secret|api_?key|credentials?|authorization)$", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)(?=@)")


def configure(*, json: bool | None = None, level: str = "info", stream: TextIO | None = None) -> None:
    """Set logging up for this process. `json` None means: unless the stream is a terminal."""
    stream = stream or sys.stderr
    as_json = not stream.isatty() if json is None else json
    shared = _shared_processors()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(as_json)],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def wanted_level() -> str:
    """The level that the environment asks for, as the bridge does: DS_LOG_LEVEL is debug, info, warn or error."""
    level = os.environ.get("DS_LOG_LEVEL", "info").lower()
    if level not in _LEVELS:
        raise UserError(f'DS_LOG_LEVEL is "{level}". It is one of {", ".join(_LEVELS)}')
    return _LEVELS[level]


_LEVELS = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}


def get(name: str = "ds-runner", **values: Any) -> Any:
    """A logger with values that each of its lines carries."""
    return structlog.stdlib.get_logger(name).bind(**values)


def mask_secrets(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Hide values whose name says that they are secret, and passwords in URLs, at any depth."""
    for name in line:
        line[name] = _masked(name, line[name])
    return line


def mask_text(text: str) -> str:
    """Hide passwords in the URLs of a text."""
    return _URL_PASSWORD.sub(rf"\1:{MASK}", text)


def _masked(name: str, value: Any) -> Any:
    if value is not None and _SECRET_NAME.search(name):
        return MASK
    if isinstance(value, str):
        return mask_text(value)
    if isinstance(value, dict):
        return {key: _masked(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked("", inner) for inner in value]
    return value


def _shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]


def _renderer(as_json: bool) -> Any:
    if as_json:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=True)
