"""A replay of a tape: what it is run with, and how far its diff can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyrunner.errors import UserError
from pyrunner.project import UNTRAINED, Project
from pyrunner.replay.diff import Comparison, Difference
from pyrunner.replay.ledger import Fate, read_ledger
from pyrunner.replay.run import Result
from pyrunner.tape import contents
from pyrunner.tape.contents import Contents
from pyrunner.tape.environment import Environment, differences, environment_from
from pyrunner.tape.frames import is_tape


def read_tape(file: Path) -> Contents | None:
    """The tape in a file; None if it is another file of events."""
    return contents.read(file) if is_tape(file) else None


def model_for(project: Project, tape: Contents, given: str | None) -> str | None:
    """The model that replays a tape: the one given, else the version that answered when it was recorded."""
    if given is not None or tape.model in ("", UNTRAINED):
        return given
    try:
        project.store.resolve(project.name, tape.model)
    except UserError:
        raise UserError(
            f"replay: the tape was recorded with model {tape.model}, which is not here. Copy it into the model store, "
            "or replay with another one: --model latest"
        ) from None
    return tape.model


@dataclass(frozen=True)
class Golden:
    """What answers are compared with: a ledger, or a tape."""

    fates: dict[str, Fate]
    tape: Contents | None = None

    @classmethod
    def read(cls, file: Path, tape: Contents | None, source: Path) -> Golden:
        """`tape` is that of `source`, which is often the same file."""
        if tape is not None and file.resolve() == source.resolve():
            return cls(tape.fates, tape)
        kept = read_tape(file)
        return cls(read_ledger(file), None) if kept is None else cls(kept.fates, kept)

    def chosen(self, only: list[str] | None) -> Golden:
        return replace(self, fates={i: f for i, f in self.fates.items() if i in only}) if only else self

    def tolerance(self, tape: Contents | None, model: type[Any]) -> float:
        """None at all where the batches are those of the recording; else what the class says of its answers."""
        same = self.tape is not None and tape is not None and self.tape.recording == tape.recording
        return 0.0 if same else float(model.tolerance)


@dataclass(frozen=True)
class Findings:
    """What a replay of a tape found out besides the answers: the report of bridge_go/player."""

    report: dict[str, Any]

    @property
    def environment(self) -> Environment:
        """Under what the answers were given now."""
        return environment_from(self.report.get("environment"))

    @property
    def unkept(self) -> int:
        return int(self.report["unkept"])

    def calls(self, golden: Golden) -> list[Difference]:
        """Calls that the recording did not have, as differences: the first of each batch."""
        return [_asked(call, golden) for call in self.report["calls"] or []]

    def sentences(self, tape: Contents) -> list[str]:
        """What a reader of the diff should know."""
        report = self.report
        found = []
        if tape.torn:
            found.append(f"the tape is {tape.torn}. What stands before that was replayed")
        elif not tape.ended:
            found.append("the tape has no end: the recording was cut off between two batches")
        if tape.dropped:
            found.append(f"the tape has gaps: {tape.dropped:,} events were dropped while it was recorded")
        if report["unanswered"]:
            found.append(
                f"{report['unanswered']:,} recorded batches were not replayed: their events have later answers, or none"
            )
        if report["unrecorded"] > self.unkept:
            found.append(f"{report['unrecorded']:,} calls of the model were not recorded and were refused")
        if report["unasked"]:
            found.append(f"{report['unasked']:,} recorded calls were not made again")
        return found


def _asked(call: dict[str, Any], golden: Golden) -> Difference:
    """A call as a difference of the first event of its batch."""
    expected = golden.fates.get(call["event"])
    recorded = call["recorded"] or "no such call"
    return Difference(
        call["event"],
        f"call {call['method']}",
        recorded,
        call["asked"],
        expected.model if expected else "",
        "",
        expected.code if expected else "",
        "",
    )


@dataclass(frozen=True)
class Verdict:
    """A comparison, what else is not as it was, and whether the comparison means anything."""

    comparison: Comparison
    to_the_bit: bool
    elsewhere: list[str]  # what is not as it was recorded
    distrust: str = ""  # why the diff cannot be trusted

    def as_json(self) -> dict[str, Any]:
        return {
            "differences": [vars(d) for d in self.comparison.differences],
            "environment": self.elsewhere,
            "trusted": not self.distrust,
        }


def verdict(done: Result, golden: Golden, comparison: Comparison, tolerance: float) -> Verdict:
    """What a comparison says, with the calls of the model and the environment taken in."""
    if done.report is None:
        return Verdict(comparison, False, [], _asked_live(done))
    found = Findings(done.report)
    recorded = golden.tape.environment if golden.tape is not None else None
    now = found.environment
    calls = [replace(d, model=now.model, code=now.code) for d in found.calls(golden)]
    return Verdict(
        Comparison(comparison.events, _merged(calls, comparison.differences, list(golden.fates))),
        tolerance == 0,
        [] if recorded is None else differences(recorded, now),
        _not_kept(found),
    )


def _merged(calls: list[Difference], others: list[Difference], order: list[str]) -> list[Difference]:
    """In the order of the events; a call comes before the answers that it changes."""
    place = {event: n for n, event in enumerate(order)}
    return sorted([*calls, *others], key=lambda d: place.get(d.event, len(place)))


def _not_kept(found: Findings) -> str:
    if not found.unkept:
        return ""
    return (
        f"the tape has no answers of calls (it was recorded with --no-lookups), and the model made {found.unkept:,}: "
        "this diff cannot be trusted"
    )


def _asked_live(done: Result) -> str:
    if not done.lookups:
        return ""
    return (
        f"the model asked its connections {done.lookups:,} times, and a ledger keeps no answers of theirs: this diff cannot be trusted. "
        "A tape keeps them: ds-runner record"
    )


def with_code(fates: dict[str, Fate], environment: Environment) -> dict[str, Fate]:
    """Fates of a replay, with the code that made them."""
    return {event: replace(fate, code=environment.code) for event, fate in fates.items()}
