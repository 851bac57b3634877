"""pytest fixtures of ds-runner; installed with the package, nothing to import.

def test_answers(run_model):
    assert run_model(FlightDelays(), [event])[0].output["late"] is False
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pyrunner.testing import FakeBridge


@pytest.fixture
def fake_bridge() -> Iterator[FakeBridge]:
    """A bridge in this process that real workers and clients can dial."""
    from pyrunner.testing import FakeBridge

    with FakeBridge() as bridge:
        yield bridge


@pytest.fixture
def run_model() -> Callable[..., list[Any]]:
    """`pyrunner.testing.run_model`: the fate of each event, through the real codec."""
    from pyrunner.testing import run_model

    return run_model
