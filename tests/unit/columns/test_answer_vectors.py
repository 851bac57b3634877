"""tests/vectors/events/answers.json: the writer of columns makes these bodies, and msgspec makes these documents."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from pyrunner.columns import compose
from pyrunner.columns.write import BodyWriter
from pyrunner.schema import schema_of
from tests.unit.scoring.eventvectors import FOLDER, class_of

FILE: dict[str, Any] = json.loads((FOLDER / "answers.json").read_text())
CLASS = class_of({"unknown": "skip", "fields": FILE["columns"]["outputs"]})


def test_answers_are_written_as_the_vectors_say() -> None:
    decode = msgspec.json.Decoder(CLASS).decode
    for said in FILE["answers"]:
        outputs = [decode(document) for document in said["documents"]]
        assert [msgspec.json.encode(output).decode() for output in outputs] == said["documents"]
        writer = BodyWriter()
        for field in schema_of(CLASS).fields:
            compose.write(writer, field, [getattr(output, field.name) for output in outputs])
        assert (writer.layout, writer.body().hex()) == (said["layout"], said["body"])
