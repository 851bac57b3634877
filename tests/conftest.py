"""Fixtures for all tests."""

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
