"""tests/vectors/events: what the bridge's parser of columns says of an event is what the decoder here says."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pyrunner.schema import schema_of
from pyrunner.scoring.decode import EventDecoder
from tests.unit.scoring.eventvectors import class_of, payload_of, told, vectors

VECTORS = vectors()


def test_there_are_vectors() -> None:
    assert len(VECTORS) >= 16


@pytest.mark.parametrize("name", VECTORS)
def test_the_decoder_gives_the_verdict_of_the_vectors(name: str) -> None:
    columns = VECTORS[name]["columns"]
    schema = schema_of(class_of(columns))
    for said in VECTORS[name]["events"]:
        decoder = EventDecoder(schema)
        decoded = decoder.each([payload_of(said)])
        assert bool(decoded.failures) == said.get("refused", False), said
        if not decoded.failures:
            row = told(columns, decoded.events[0])
            assert _exactly(row) == _exactly(_as_declared(columns, said["row"])), said
            assert sorted(decoder.unknown) == sorted(name[:100] for name in said.get("unknown", ())), said


def _as_declared(columns: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    floats = {f["name"] for f in columns["fields"] if f["kind"] == "float"}
    return {
        name: float(value) if name in floats and value is not None else value for name, value in row.items()
    }


def _exactly(row: dict[str, Any]) -> dict[str, Any]:
    """Floats by their bits, and types told apart: 0.0 is not -0.0, 1 is neither 1.0 nor true."""
    return {
        name: (type(value), struct.pack("<d", value) if isinstance(value, float) else value)
        for name, value in row.items()
    }
