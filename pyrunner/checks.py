"""`check_model`: does a model give an event the same answer whatever batch it comes in, and after saving and loading?

For pytest (`check_model(model, sample)` raises an AssertionError that lists all problems) and for `ds-runner check`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import random
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from pyrunner.errors import UserError
from pyrunner.history import payloads_of
from pyrunner.model import Model, seed_everything
from pyrunner.models.payload import refuse_main
from pyrunner.scoring import Scorer
from pyrunner.scoring.failures import FAIL

if TYPE_CHECKING:
    from pyrunner.data import Access

_SHOWN = 3  # differing rows told of each check

Fate = tuple[str, Any]  # ("outputs", [(stream, value), ...]) or ("rejected", code) or ("failed", reason)


class Scores(Protocol):
    """What answers payloads: a Scorer, or one that takes them by another way."""

    def score(self, payloads: Sequence[bytes]) -> Any: ...


class CheckFailed(AssertionError):
    """What `check_model` raises; `report` holds it all."""

    def __init__(self, report: CheckReport) -> None:
        super().__init__("\n".join(report.problems))
        self.report = report


@dataclasses.dataclass(frozen=True)
class CheckReport:
    """Which checks passed, and what was found, one sentence each."""

    model: str
    rows: int
    passed: tuple[str, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()  # what was left out and why

    @property
    def ok(self) -> bool:
        return not self.problems


def check_model(
    model: Model[Any, Any],
    sample: Any,
    *,
    tolerance: float | None = None,
    seed: int = 0,
    raises: bool = True,
    access: Access | None = None,
) -> CheckReport:
    """Answer a sample of events in one batch, one by one, shuffled, in halves, as columns, and after saving and loading; compare.

    `sample` is events, dicts, JSON texts, or a frame or table; ten to a hundred varied rows find most mistakes. Floats may differ by
    `tolerance` (the class's own, 1e-9 by default), relative above 1. A class with `batch_dependent = True` is not asked for the
    same answers in other batches. `access` is what its `ctx` asks for data; nothing is written. Raises CheckFailed unless `raises` is False.
    """
    checks = _Checks(model, sample, model.tolerance if tolerance is None else tolerance, seed, access)
    report = checks.run()
    if raises and not report.ok:
        raise CheckFailed(report)
    return report


class _Checks:
    def __init__(
        self, model: Model[Any, Any], sample: Any, tolerance: float, seed: int, access: Access | None
    ) -> None:
        self._model = model
        self._access = access
        self._scorer = Scorer(model, access=access)
        self._tolerance = tolerance
        self._random = random.Random(seed)
        self._payloads = _payloads(sample, self._scorer)
        if not self._payloads:
            raise UserError("check_model: the sample is empty")
        self._problems: list[str] = []
        self._passed: list[str] = []
        self._notes: list[str] = []

    def run(self) -> CheckReport:
        cls = type(self._model)
        self._whole = self._fates(self._scorer, self._payloads)
        self._check("answers", self._answered)
        self._check("the same batch again", self._again)
        if cls.batch_dependent:
            self._notes.append(
                f"{cls.__name__} says batch_dependent = True: other batches may give other answers"
            )
        else:
            self._check("one row at a time", self._one_by_one)
            self._check("shuffled", self._shuffled)
            self._check("split in two", self._split)
        self._check("batches are the model's own", self._owned)
        if self._scorer.path.plan is not None:
            self._check("as columns", self._by_columns)
        self._check("saved and loaded", self._saved)
        return CheckReport(
            cls.__name__, len(self._payloads), tuple(self._passed), tuple(self._problems), tuple(self._notes)
        )

    def _check(self, name: str, run: Callable[[], Iterable[str]]) -> None:
        found = list(run())
        if found:
            self._problems += found
        else:
            self._passed.append(name)

    def _answered(self) -> Iterable[str]:
        failed = [(row, fate[1]) for row, fate in enumerate(self._whole) if fate[0] == "failed"]
        for row, reason in failed[:_SHOWN]:
            yield f"row {row} of the sample fails: {reason}"
        if len(failed) > _SHOWN:
            yield f"{len(failed) - _SHOWN} more rows of the sample fail"

    def _again(self) -> Iterable[str]:
        yield from self._compare(self._fates(self._scorer, self._payloads), "asked twice", _RANDOM)

    def _one_by_one(self) -> Iterable[str]:
        fates = [fate for payload in self._payloads for fate in self._fates(self._scorer, [payload])]
        yield from self._compare(fates, "alone in its batch", _BATCH)

    def _shuffled(self) -> Iterable[str]:
        order = list(range(len(self._payloads)))
        self._random.shuffle(order)
        found = self._fates(self._scorer, [self._payloads[row] for row in order])
        fates: list[Fate] = [("failed", "")] * len(order)
        for at, row in enumerate(order):
            fates[row] = found[at]
        yield from self._compare(fates, "in a shuffled batch", _BATCH)

    def _split(self) -> Iterable[str]:
        middle = (len(self._payloads) + 1) // 2
        fates = self._fates(self._scorer, self._payloads[:middle])
        if self._payloads[middle:]:
            fates += self._fates(self._scorer, self._payloads[middle:])
        yield from self._compare(fates, "in half a batch", _BATCH)

    def _owned(self) -> Iterable[str]:
        """Keep a batch, write into it, build the next: neither may see the other."""
        yield from self._owned_by(self._scorer, "")

    def _owned_by(self, scorer: Any, how: str) -> Iterable[str]:
        kept = scorer.given(self._payloads)
        before = copy.deepcopy(kept)
        scorer.given(self._payloads[::-1])
        if not _same_data(kept, before):
            yield f"a batch that the model kept has changed while the next one was made{how}"
        _scribble(kept)
        yield from self._compare(
            self._fates(scorer, self._payloads), f"after an earlier batch was written into{how}", _STATE
        )

    def _by_columns(self) -> Iterable[str]:
        """The way that the events take behind a bridge: the same answers, and batches that are the model's own."""
        from pyrunner.columns.through import ThroughColumns

        through = ThroughColumns(self._scorer)
        yield from self._compare(
            self._fates(through, self._payloads), "when its batch comes as columns", _STATE
        )
        yield from self._owned_by(through, ", as columns")

    def _saved(self) -> Iterable[str]:
        cls = type(self._model)
        with tempfile.TemporaryDirectory(prefix="check-model-") as folder:
            try:
                self._model.save(Path(folder))
                if cls.__module__ != "__main__":  # in a notebook everything is, and the check is about values
                    refuse_main(Path(folder))
                fresh = cls(self._model.params, seed=self._model.seed)
                loaded = fresh.load(Path(folder))
            except UserError as e:
                yield str(e)
                return
        again = Scorer(loaded if isinstance(loaded, Model) else fresh, access=self._access)
        yield from self._compare(self._fates(again, self._payloads), "after saving and loading", _SAVING)

    def _fates(self, scorer: Any, payloads: Sequence[bytes]) -> list[Fate]:
        seed_everything(self._model.seed)
        return fates_of(scorer, payloads)

    def _compare(self, fates: Sequence[Fate], when: str, advice: str) -> Iterable[str]:
        differing = [
            row
            for row, (one, other) in enumerate(zip(self._whole, fates, strict=True))
            if not same(one, other, self._tolerance)
        ]
        for row in differing[:_SHOWN]:
            yield f"row {row} is {_told(self._whole[row])}, but {_told(fates[row])} {when}. {advice}"
        if len(differing) > _SHOWN:
            yield f"{len(differing) - _SHOWN} more rows differ {when}"


_BATCH = "Use nothing of the other rows in predict (means, ranks, sorting), or say batch_dependent = True in the class."
_RANDOM = "Draw random numbers from self.seed or ctx.random."
_STATE = "Keep copies of what predict is given, not the thing itself."
_SAVING = "Set in fit all that predict needs, or write save and load."


def fates_of(scorer: Scores, payloads: Sequence[bytes]) -> list[Fate]:
    """What becomes of each payload, in a form that can be compared."""
    scored = scorer.score(payloads)
    fates: list[Fate] = [("outputs", [])] * len(payloads)
    routes = dict(zip((scored.routes or [])[0::2], (scored.routes or [])[1::2], strict=True))
    outputs = [(routes.get(at, ""), msgspec.json.decode(line)) for at, line in enumerate(scored.split())]
    failed = {error.index: error for error in scored.errors}
    counts = scored.counts or [int(row not in failed) for row in range(len(payloads))]
    at = 0
    for row, count in enumerate(counts):
        fates[row] = ("outputs", outputs[at : at + count])
        at += count
    for row, error in failed.items():
        fates[row] = ("failed", error.reason) if error.kind == FAIL else ("rejected", error.code)
    return fates


def same(one: Any, other: Any, tolerance: float) -> bool:
    """Equal; floats within the tolerance, relative above 1."""
    if isinstance(one, float) or isinstance(other, float):
        if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
            return False
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k], tolerance) for k in one)
    return type(one) is type(other) and bool(one == other)


def _told(fate: Fate) -> str:
    kind, what = fate
    if kind != "outputs":
        return f"{kind} ({what})"
    shown = [value if not stream else {"to": stream, "output": value} for stream, value in what]
    text = msgspec.json.encode(shown[0] if len(shown) == 1 else shown).decode()
    return text if len(text) < 200 else text[:200] + "..."


def _payloads(sample: Any, scorer: Scorer) -> list[bytes]:
    if isinstance(sample, (list, tuple)):
        return [_payload(row) for row in sample]
    return payloads_of(sample, scorer.signature.input_schema)


def _payload(row: Any) -> bytes:
    if isinstance(row, (bytes, bytearray, memoryview)):
        return bytes(row)
    if isinstance(row, str):
        return row.encode()
    if hasattr(row, "model_dump_json"):
        return bytes(row.model_dump_json(by_alias=True).encode())
    return msgspec.json.encode(row)


def _same_data(kept: Any, before: Any) -> bool:
    if hasattr(kept, "equals"):
        return bool(kept.equals(before))
    if isinstance(kept, dict):
        return all(str(kept[name].tolist()) == str(before[name].tolist()) for name in kept)
    return list(kept) == list(before)


def _scribble(kept: Any) -> None:
    """Write into whatever can be written into."""
    if isinstance(kept, dict) or (hasattr(kept, "columns") and hasattr(kept, "loc")):
        for name in list(kept):
            column = kept[name]
            if getattr(getattr(column, "dtype", None), "kind", "") == "f":
                kept[name] *= -3.0
    elif hasattr(kept, "clear"):
        kept.clear()
