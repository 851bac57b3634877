"""The golden diff: are the answers of this replay those that were expected?

Pure. Two ledgers are compared by event id. Integers, strings and booleans must be equal; floats may differ by the
tolerance, absolute or relative, whichever allows more (a model's own answers differ by 1e-14 between batches of 1 and of
4096, so the default asks for 1e-9). A tolerance of 0 means the same bits: -0.0 is not 0.0 then, and 1 is not 1.0. For dead letters only the
code counts: reasons and details name lines of code.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

from pyrunner.replay.ledger import Fate

TOLERANCE = 1e-9

_MISSING = object()


@dataclass(frozen=True)
class Difference:
    """The first thing that differs in one event. `field` is a path into the fate, like `arr_delay` or `[1].arr_delay`."""

    event: str
    field: str
    expected: str
    got: str
    expected_model: str = ""
    model: str = ""
    expected_code: str = ""
    code: str = ""

    def explain(self) -> str:
        """One sentence: event, field, both values, and the models and the code, of both sides if they are not the same."""
        where = f"{self.event} {self.field}" if self.field else self.event
        text = f"{where}: expected {self.expected}, got {self.got}"
        before, now = _made_by(self.expected_model, self.expected_code), _made_by(self.model, self.code)
        if before != now:
            return f"{text} (expected by {before or 'model ?'}, got from {now or 'model ?'})"
        return f"{text} ({now})" if now else text


def _made_by(model: str, code: str) -> str:
    """`model 3, code 1a2b3c4d`, as far as it is known."""
    return ", ".join(f"{what} {which}" for what, which in (("model", model), ("code", code[:8])) if which)


@dataclass(frozen=True)
class Comparison:
    """All events of both ledgers, and the differences in the order of the expected one."""

    events: int
    differences: list[Difference]

    @property
    def same(self) -> bool:
        return not self.differences


def compare(
    expected: Mapping[str, Fate], got: Mapping[str, Fate], tolerance: float = TOLERANCE
) -> Comparison:
    """Compare two ledgers. An event that only one of them has is a difference."""
    ids = dict.fromkeys(chain(expected, got))
    found = (_of_event(i, expected.get(i), got.get(i), tolerance) for i in ids)
    return Comparison(len(ids), [d for d in found if d])


def _of_event(event: str, expected: Fate | None, got: Fate | None, tolerance: float) -> Difference | None:
    if expected is None or got is None or expected.kind != got.kind:
        return _difference(event, "", _whole(expected), _whole(got), expected, got)
    for field, a, b in _differences(_comparable(expected), _comparable(got), "", tolerance):
        return _difference(event, field, _shown(a), _shown(b), expected, got)
    return None


def _difference(
    event: str, field: str, before: str, now: str, expected: Fate | None, got: Fate | None
) -> Difference:
    return Difference(
        event,
        field,
        before,
        now,
        expected.model if expected else "",
        got.model if got else "",
        expected.code if expected else "",
        got.code if got else "",
    )


def _comparable(fate: Fate) -> Any:
    if fate.kind == "dead":
        return {"dead": fate.value.get("code")}
    if fate.kind == "rejected":
        return {"rejected": fate.value}
    if isinstance(fate.value, list) and len(fate.value) == 1:
        return fate.value[0]  # one output is the rule: say `arr_delay`, not `[0].arr_delay`
    return fate.value


def _differences(a: Any, b: Any, path: str, tolerance: float) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys(chain(a, b)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(a.get(key, _MISSING), b.get(key, _MISSING), inner, tolerance)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{path} length".strip(), len(a), len(b)
        for i, (x, y) in enumerate(zip(a, b, strict=False)):
            yield from _differences(x, y, f"{path}[{i}]", tolerance)
    elif not _same(a, b, tolerance):
        yield path, a, b


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if tolerance == 0:
        return type(a) is type(b) and (repr(a) == repr(b) if isinstance(a, float) else bool(a == b))
    if isinstance(a, float) or isinstance(b, float):
        return _is_number(a) and _is_number(b) and math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance)
    return type(a) is type(b) and bool(a == b)


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool)


def _whole(fate: Fate | None) -> str:
    if fate is None:
        return "no such event"
    if fate.kind == "outputs":
        return "no output" if not fate.value else f"output {_shown(fate.value[0])}"
    return f"{fate.kind} ({fate.value.get('code') or ''}: {fate.value.get('reason') or ''})"


def _shown(value: Any) -> str:
    if value is _MISSING:
        return "no such field"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else text[:200] + "..."
