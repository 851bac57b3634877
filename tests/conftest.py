"""Fixtures for all tests."""

import signal

import pytest

from tests.providers.fixtures import (  # noqa: F401 - found by pytest in this module
    _shared_component,
    kafka,
    nats,
    own_component,
    postgres,
    redis,
    registry,
    s3,
)

# A run that a shell put into the background ignores SIGINT, and every child of it would: tests of Ctrl-C need it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests said at first that CI has run again: their second answer may be right, and their first is what to look into."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"{report.nodeid}: run again after this")
        terminalreporter.line(report.longreprtext)
