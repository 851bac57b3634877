"""`Scorer`: one model behind one codec. What every way in calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrunner import containers
from pyrunner.containers.base import BadAnswer, TypedBatch
from pyrunner.context import Context
from pyrunner.meta import NOTHING, Meta
from pyrunner.model import Model, overrides
from pyrunner.outcomes import Reject
from pyrunner.scoring.decode import Decoded, EventDecoder, Payload, decoder_of
from pyrunner.scoring.failures import (
    Failure,
    RowError,
    Surroundings,
    exception_failure,
    mark_as_users,
    surroundings_of,
)
from pyrunner.scoring.isolate import Isolation
from pyrunner.scoring.layout import Layout, lay_out, rejection
from pyrunner.scoring.tries import Tries
from pyrunner.scoring.unknown import UnknownFields
from pyrunner.scoring.verify import OutputCheck
from pyrunner.signature import Signature, read_signature

if TYPE_CHECKING:
    from pyrunner.columns.answers import AnswerColumns, Answered
    from pyrunner.columns.plan import Path
    from pyrunner.columns.read import ColumnBatch
    from pyrunner.data import Access
    from pyrunner.protocol import Columns


class Scored(NamedTuple):
    """The answer to a batch of payloads, laid out as RESULT's fields (PROTOCOL.md, section 3).

    `outputs` is one bin of lines. `errors` are by position in the batch, ascending. `writes` are what the model asked ctx to write
    with these answers; whoever sends the answers stages them first.
    """

    outputs: bytes
    counts: list[int] | None
    routes: list[int | str] | None
    errors: list[RowError]
    writes: Sequence[Any] = ()

    def split(self) -> list[bytes]:
        """Each output by itself, without its newline."""
        return self.outputs.split(b"\n")[:-1]


class ScoredEvents(NamedTuple):
    """As Scored, but `outputs` are the objects that the model returned."""

    outputs: list[Any]
    counts: list[int] | None
    routes: list[int | str] | None
    errors: list[RowError]
    writes: Sequence[Any] = ()


class ScoredColumns(NamedTuple):
    """As Scored, but the outputs are the columns of ANSWERS. `lines` makes Scored of the same answer, for a frame that would be too
    large; it may be called once, instead."""

    rows: int
    counts: list[int] | None
    errors: list[RowError]
    layout: list[int]
    body: bytes
    lines: Callable[[], Scored]
    writes: Sequence[Any] = ()


class Scorer:
    """Answers batches with one model. One thread at a time (`beside` makes one for another); it holds no resource and needs no closing.

    `access` is what the model's `ctx` asks for data; without it a model that asks is told so.
    Raises `UserError` when the class cannot be called, and from `score` only `Surroundings`: the whole batch is to come again.
    """

    def __init__(
        self, model: Model[Any, Any], *, model_version: str = "", access: Access | None = None
    ) -> None:
        self.model = model
        self.model_version = model_version
        self.access = access
        self.signature: Signature = read_signature(type(model))
        self.path: Path = self.signature.path
        self._decoder = EventDecoder(self.signature.input_schema, nulls=self.signature.nulls)
        self.container = containers.load(self.signature)
        self._check = OutputCheck(self.signature.output_schema, self.signature.call)
        self._decode_output = decoder_of(self.signature.output_schema)
        self._verb: Callable[..., Any] = getattr(model, self.signature.verb)
        self._wants_ctx = "ctx" in self.signature.arguments
        self._tries = Tries()
        self._direct = self._direct_call()
        self._answer_columns: AnswerColumns | None = None
        mark_as_users(type(model))

    def beside(self) -> Scorer:
        """Another one of the same model, for a thread beside this one's. The model itself has to bear both; what is unknown is counted together."""
        access = None if self.access is None else self.access.beside()
        other = Scorer(self.model, model_version=self.model_version, access=access)
        other._decoder.unknown = self._decoder.unknown
        return other

    @property
    def unknown_fields(self) -> UnknownFields:
        """Counts of the fields that events have and the class does not name."""
        return self._decoder.unknown

    def score(self, payloads: Sequence[Payload], meta: Meta | None = None) -> Scored:
        """Answer JSON payloads, one event each; None is a null value."""
        try:
            events = self._decoder.all(payloads)
        except Exception as error:
            if surroundings := surroundings_of(error):
                raise surroundings from error
            return self._score_each(payloads, meta or NOTHING)
        if self._direct is not None:
            try:
                answer = self._direct(events)
            except Exception as error:
                return _scored(self._laid_out(self._isolated(events, meta or NOTHING, error)))
            if type(answer) is list and len(answer) == len(events):
                return self._scored_list(answer)
            return _scored(self._laid_out(self._read(answer, events, meta or NOTHING)))
        self._tries = Tries()
        return self._with_writes(self._scored_list(self._outcomes(events, meta or NOTHING)))

    def score_columns(self, columns: Columns, meta: Meta | None = None) -> Scored | ScoredColumns:
        """Answer a frame of columns, as `score` answers its payloads. Raises DecodeError for a frame that cannot be.

        Misfits, which the bridge could not put into columns, are decoded here. Those that are events are answered in a batch of their own.
        """
        from pyrunner.columns.read import read

        meta = meta or NOTHING
        batch = read(self.signature.input_schema, columns.layout, columns.rows, columns.body)
        self._decoder.skipped(columns.unknown)
        self._tries = Tries()
        if not columns.misfits:
            return self._score_rows(batch, None, [], columns.count, meta)
        places: list[Any] = columns.misfits[0::2]
        payloads: list[Any] = columns.misfits[1::2]
        decoded = self._decoder.each(payloads)
        misfit = set(places)
        rows = [row for row in range(columns.count) if row not in misfit]
        if not decoded.events:
            failed = [failure.at(places[at]) for at, failure in decoded.failures.items()]
            return self._score_rows(batch, rows, failed, columns.count, meta)
        return self._score_mixed(batch, rows, decoded, places, meta)

    def _score_rows(
        self, batch: ColumnBatch, rows: list[int] | None, failed: list[RowError], n: int, meta: Meta
    ) -> Scored | ScoredColumns:
        """Rows of columns, at `rows` of a batch of n events; None: they are all of it. The others have failed already."""
        some = meta if rows is None else meta.take(rows)
        kept = self.container.keep(batch)  # type: ignore[attr-defined]
        ctx = self._context(len(batch), some)
        try:
            given = self.container.build_columns(batch)  # type: ignore[attr-defined]
            answer = self._verb(given, ctx=ctx) if self._wants_ctx else self._verb(given)
            answered = self._columns_of(answer, ctx)
            outcomes = None if answered else self.container.outcomes(answer, ctx)
        except Exception as error:
            outcomes, answered = self._isolated(batch.of(kept).events(), some, error), None
        else:
            if self._wants_ctx:
                self._tries.passed(range(len(batch)), ctx.writes)
        if rows is not None:
            self._tries.renumber(rows)
        if answered is None:
            assert outcomes is not None
            return self._with_writes(self._scored_list(_spread(outcomes, rows, failed, n)))

        def lines() -> Scored:
            outcomes = self.container.outcomes(answer, ctx)
            return self._with_writes(self._scored_list(_spread(outcomes, rows, failed, n)))

        errors = [
            *failed,
            *(rejection(r).at(row if rows is None else rows[row]) for row, r in ctx.rejected.items()),
        ]
        errors.sort()
        return ScoredColumns(
            answered.rows, _counts(answered.counts, rows, errors, n), errors, answered.layout, answered.body,
            lines, self._tries.writes(errors),
        )  # fmt: skip

    def _score_mixed(
        self, batch: ColumnBatch, rows: list[int], decoded: Decoded, places: list[int], meta: Meta
    ) -> Scored:
        """Rows of columns, and misfits that are events all the same."""
        own = [places[at] for at in decoded.rows]
        outcomes: list[Any] = [None] * (len(rows) + len(places))
        for at, failure in decoded.failures.items():
            outcomes[places[at]] = failure
        self._place(outcomes, batch.events(), rows, meta)
        earlier, self._tries = self._tries, Tries()
        self._place(outcomes, decoded.events, own, meta)
        self._tries.follow(earlier)
        return self._with_writes(self._scored_list(outcomes))

    def _place(self, outcomes: list[Any], events: list[Any], rows: list[int], meta: Meta) -> None:
        """Answer events in a batch of their own; they are at `rows` of the whole."""
        for row, outcome in zip(rows, self._outcomes(events, meta.take(rows)), strict=True):
            outcomes[row] = outcome
        self._tries.renumber(rows)

    def _columns_of(self, answer: Any, ctx: Context) -> Answered | None:
        """The answer as columns where the class and the answer allow it."""
        if self._answer_columns is None:
            from pyrunner.columns.answers import AnswerColumns

            assert self.path.plan is not None
            self._answer_columns = AnswerColumns(self.signature, self.path.plan)
        return self._answer_columns.read(answer, ctx)

    def score_events(self, events: list[Any], meta: Meta | None = None) -> ScoredEvents:
        """Answer events that are typed already. They belong to the model from now on."""
        self._tries = Tries()
        laid = self._laid_out(self._outcomes(events, meta or NOTHING))
        return ScoredEvents(
            laid.outputs, laid.counts, laid.routes, laid.errors, self._tries.writes(laid.errors)
        )

    def decode_outputs(self, scored: Scored, n: int) -> list[list[Any]]:
        """The outputs of each of the n events that `scored` answers, as objects of the output class. Routed ones are left out."""
        outputs = list(map(self._decode_output, scored.split()))
        routed = set((scored.routes or [])[::2])
        failed = {error.index for error in scored.errors}
        counts = scored.counts or [int(row not in failed) for row in range(n)]
        groups, at = [], 0
        for count in counts:
            groups.append([outputs[i] for i in range(at, at + count) if i not in routed])
            at += count
        return groups

    def given(self, payloads: Sequence[Payload]) -> Any:
        """What the model's method would be given for these payloads; those that are no events are left out."""
        events = self._decoder.each(payloads).events
        return self.container.build(TypedBatch(self.signature.input_schema, events, NOTHING))

    def warm_up(self, sample: Sequence[bytes] = ()) -> Scored | None:
        """Pay first-call costs: the model's own warm_up, or else an answer to a few sample payloads, which is returned."""
        if overrides(type(self.model), "warm_up"):
            self.model.warm_up()
        elif sample:
            with suppress(Surroundings):  # then the first event pays
                return self.score(list(sample))
        return None

    def _direct_call(self) -> Callable[[list[Any]], Any] | None:
        """What turns events into outcomes with nothing in between, for containers that are the events themselves."""
        if self._wants_ctx:
            return None
        if self.signature.container == "list":
            return self._verb
        if self.signature.container == "one":
            one = self._verb
            return lambda events: [one(event) for event in events]
        return None

    def _scored_list(self, outcomes: list[Any]) -> Scored:
        """Lines of outcomes, of which most batches have only outputs, and many besides some rejections or failures."""
        lines = self._check.lines(outcomes)
        if lines is not None:
            return Scored(lines, None, None, [])
        errors = [
            (o if isinstance(o, Failure) else rejection(o)).at(row)
            for row, o in enumerate(outcomes)
            if isinstance(o, (Reject, Failure))
        ]
        if errors:
            lines = self._check.lines([o for o in outcomes if not isinstance(o, (Reject, Failure))])
            if lines is not None:
                return Scored(lines, None, None, errors)
        return _scored(self._laid_out(outcomes))

    def _score_each(self, payloads: Sequence[Payload], meta: Meta) -> Scored:
        """A batch in which some payloads are no events: the others are answered as if they had come alone."""
        decoded = self._decoder.each(payloads)
        outcomes: list[Any] = [None] * len(payloads)
        self._tries = Tries()
        for row, failure in decoded.failures.items():
            outcomes[row] = failure
        if decoded.events:
            some = meta if len(decoded.rows) == len(payloads) else meta.take(decoded.rows)
            for row, outcome in zip(decoded.rows, self._outcomes(decoded.events, some), strict=True):
                outcomes[row] = outcome
        self._tries.renumber(decoded.rows)
        return self._with_writes(self._scored_list(outcomes))

    def _with_writes(self, scored: Scored) -> Scored:
        writes = self._tries.writes(scored.errors)
        return scored._replace(writes=writes) if writes else scored

    def _laid_out(self, outcomes: list[Any]) -> Layout:
        return lay_out(outcomes, self._check)

    def _outcomes(self, events: list[Any], meta: Meta) -> list[Any]:
        """One outcome an event, whatever happens."""
        if not events:
            return []
        if self.signature.container == "one":
            return [self._one_outcome(row, event, meta) for row, event in enumerate(events)]
        try:
            return self._call(events, meta)
        except Exception as error:
            return self._isolated(events, meta, error)

    def _one_outcome(self, row: int, event: Any, meta: Meta) -> Any:
        """Of predict_one, where the culprit is known at once."""
        ctx = self._context(1, meta.take([row]) if meta.positions else meta)
        try:
            outcome = self._verb(event, ctx=ctx) if self._wants_ctx else self._verb(event)
        except Exception as error:
            if surroundings := surroundings_of(error):
                raise surroundings from error
            return exception_failure(error)
        self._tries.passed([row], ctx.writes)
        return ctx.rejected.get(0, outcome)

    def _call(self, events: list[Any], meta: Meta, first: int = 0) -> list[Any]:
        """One call of the model, and its answer told apart into events. Raises what the model raises, and BadAnswer.

        `first` is the row of the first event in the batch, of which these may be a part.
        """
        ctx = self._context(len(events), meta)
        batch = self.container.build(TypedBatch(self.signature.input_schema, events, meta))
        answer = self._verb(batch, ctx=ctx) if self._wants_ctx else self._verb(batch)
        outcomes = self.container.outcomes(answer, ctx)
        if self._wants_ctx:
            self._tries.passed(range(first, first + len(events)), ctx.writes)
        return outcomes

    def _context(self, n: int, meta: Meta) -> Context:
        return Context(n, seed=self.model.seed, meta=meta, access=self.access, predicts=True)

    def _read(self, answer: Any, events: list[Any], meta: Meta) -> list[Any]:
        try:
            return self.container.outcomes(answer, Context(len(events), seed=self.model.seed, meta=meta))
        except BadAnswer as error:
            return self._isolated(events, meta, error)

    def _isolated(self, events: list[Any], meta: Meta, error: Exception) -> list[Any]:
        if self.signature.container == "one":
            if surroundings := surroundings_of(error):
                raise surroundings from error
            return [self._one_outcome(row, event, meta) for row, event in enumerate(events)]

        def attempt(low: int, high: int) -> list[Any]:
            whole = not meta.positions and meta.keys is None
            return self._call(events[low:high], meta if whole else meta.take(range(low, high)), low)

        return Isolation(attempt, self._sentence, self._tries.refuse).solve(len(events), error)

    def _sentence(self, error: BadAnswer, culprits: Sequence[int]) -> str:
        """`science.py:31 FlightDelays.predict returned 254 rows for 256 events (rows 17, 99 missing). Return Reject ...`"""
        text = f"{self.signature.place} {self.signature.call} {error.problem}"
        if culprits and error.code == "wrong_count":
            shown = ", ".join(map(str, culprits[:10])) + (", ..." if len(culprits) > 10 else "")
            text += f" (rows {shown} missing)" if len(culprits) > 1 else f" (row {shown} missing)"
        return f"{text}. {error.fix}" if error.fix else f"{text}."


def _scored(laid: Layout) -> Scored:
    return Scored(laid.lines, laid.counts, laid.routes, laid.errors)


def _spread(outcomes: list[Any], rows: list[int] | None, failed: list[RowError], n: int) -> list[Any]:
    """Outcomes of some rows as those of the whole batch, of which the others have failed."""
    if rows is None:
        return outcomes
    spread: list[Any] = [None] * n
    for error in failed:
        spread[error.index] = Failure(*error[1:])
    for row, outcome in zip(rows, outcomes, strict=True):
        spread[row] = outcome
    return spread


def _counts(
    counts: list[int] | None, rows: list[int] | None, errors: list[RowError], n: int
) -> list[int] | None:
    """Outputs of each of n events, None where each without an error has one."""
    if counts is None:
        return None
    whole = counts if rows is None else [0] * n
    for row, count in zip(rows or (), counts, strict=False):
        whole[row] = count
    failed = {error.index for error in errors}
    return None if all(count == (row not in failed) for row, count in enumerate(whole)) else whole
