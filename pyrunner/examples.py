"""Examples of events for readers of the API: rows that the trained model keeps for its warm-up, and its answers to them.

They go to the bridge in HELLO's `describe`, under `examples`, and from there into /openapi.json and the page /docs. What a class keeps
out of logs (`Field(log=False)`) stays out of examples: an optional field is left out, a required one leaves no example.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from pyrunner.protocol.frames import MAX_DESCRIBE
from pyrunner.schema import EventSchema, is_pydantic, schema_of

if TYPE_CHECKING:
    from pyrunner.scoring import Scored
    from pyrunner.signature import Signature

MOST_EXAMPLES = 3
MOST_BYTES = 4096  # of one example: longer ones are no help


def with_examples(
    describe: bytes, signature: Signature, sample: Sequence[bytes], answered: Scored | None
) -> bytes:
    """The description with examples, where there are some and room for them. `answered` is what the model said to the sample."""
    outputs = answered.split() if answered is not None and answered.routes is None else []
    found = {
        "input": _shown(sample, signature.input_schema),
        "output": _shown(outputs, signature.output_schema),
    }
    if not describe or not found["input"]:
        return describe
    whole = msgspec.json.decode(describe, type=dict[str, msgspec.Raw])
    whole["examples"] = msgspec.Raw(msgspec.json.encode(found))
    data = msgspec.json.encode(whole)
    return data if len(data) <= MAX_DESCRIBE else describe


def _shown(rows: Sequence[bytes], schema: EventSchema) -> list[Any]:
    short = [row for row in rows if len(row) <= MOST_BYTES][:MOST_EXAMPLES]
    hidden = [field for field in schema if not field.marks.log or _hides(field.bare)]
    if any(field.required for field in hidden):
        return []
    names = {field.wire for field in hidden}
    return [{k: v for k, v in json.loads(row).items() if k not in names} for row in short]


def _is_event(hint: Any) -> bool:
    return is_pydantic(hint) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))


def _hides(hint: Any, seen: frozenset[Any] = frozenset()) -> bool:
    """Whether a type holds events of which some field is kept out of logs."""
    if hint in seen:
        return False
    if _is_event(hint):
        return any(not field.marks.log or _hides(field.bare, seen | {hint}) for field in schema_of(hint))
    return any(_hides(part, seen) for part in get_args(hint))
