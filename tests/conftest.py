"""Fixtures for all tests."""

import signal

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
