"""What a spawned process runs: load the program and its model, dial the bridge, score until told to end.

    python -m pyrunner.runtime.worker --program program.yaml --command score-stream --bridge tcp://127.0.0.1:7400 --token-file t

Started by `Supervisor`, which hands over a lifeline (standard input), a pipe for reports and a file for stacks. It also
runs alone, without any of them. Exit codes: 0 drained, 78 the model could not be loaded, anything else is a death.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pyrunner import logs
from pyrunner.errors import UserError
from pyrunner.runtime.deaths import EXIT_LOAD, EXIT_OK, EXIT_ROBBED
from pyrunner.runtime.environment import (
    calm_collector,
    die_with_parent,
    protect_descriptors,
    stand_back,
    thread_settings,
)
from pyrunner.runtime.lifeline import Lifeline
from pyrunner.runtime.loaded import Loaded
from pyrunner.runtime.reports import Reporter
from pyrunner.runtime.stacks import dump_on_request
from pyrunner.runtime.waker import Waker

if TYPE_CHECKING:
    from pyrunner.client import Calls
    from pyrunner.data import Access
    from pyrunner.metrics import WorkerMetrics
    from pyrunner.runtime.loop import Loop, Ways
    from pyrunner.scoring import Scorer

_UNKNOWN_EVERY = 16  # batches: the first that has them is told at once


def main(argv: Sequence[str] | None = None) -> int:
    options = _parse(argv)
    os.environ.update(thread_settings(options.workers, dict(os.environ)))
    lifeline = None
    if options.supervised:
        die_with_parent()
        lifeline = Lifeline(protect_descriptors())
    reporter = Reporter(options.report_fd)
    stack = None if options.stack_fd is None else dump_on_request(options.stack_fd)
    logs.configure(json=options.log_json, level=options.log_level)
    log = logs.get(command=options.route, slot=options.slot)
    if options.shadow:
        stand_back()
    if options.metrics is not None:
        from pyrunner.metrics import count_in_files

        count_in_files(options.metrics, str(options.slot))
    calls: Calls | None = None
    try:
        from pyrunner.project import open_project

        project = open_project(options.program, options.env, options.param)
        calls = _calls(options, options.known_as or project.name)
        loaded = Loaded.load(options, project, calls)
    except Exception as error:
        if calls is not None:
            calls.close()
        reporter.tell("failed", reason=_explain(error))
        if not options.supervised:  # else the parent says it, once
            log.error("model not loaded", reason=_explain(error))
        return EXIT_LOAD
    calm_collector()
    return _score(options, loaded, calls, _Ties(reporter, stack, lifeline, log))


def _calls(options: argparse.Namespace, program: str) -> Calls:
    """The second connection, not started yet."""
    from pyrunner.client import Calls, Dialler, Identity
    from pyrunner.protocol import Role

    identity = Identity(program, options.route, options.worker, options.slot)
    return Calls(Dialler(options.bridge, options.token_file, Role.CALLS, identity, _Quiet()))


class _Ties(NamedTuple):
    """What ties a worker to whoever started it; alone it has a log only."""

    reporter: Reporter
    stack: int | None  # a file for stacks
    lifeline: Lifeline | None
    log: Any


def _score(options: argparse.Namespace, loaded: Loaded, calls: Calls, ties: _Ties) -> int:
    from pyrunner.metrics import WorkerMetrics
    from pyrunner.runtime.loop import Robbed

    metrics = WorkerMetrics(loaded.program, options.route)
    loop = _loop(options, loaded, calls, ties, metrics)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.end())
    calls.start()
    try:
        loop.run()
    except Robbed as error:
        ties.log.error("user code closed descriptors that the wire needs", reason=str(error))
        return EXIT_ROBBED
    finally:
        calls.close()
        metrics.unknown(loaded.scorer.unknown_fields)
        _report_unknown(loaded.scorer, ties.reporter)
    return EXIT_OK


def _loop(
    options: argparse.Namespace, loaded: Loaded, calls: Calls, ties: _Ties, metrics: WorkerMetrics
) -> Loop:
    from pyrunner.client import Dialler
    from pyrunner.meta import Meta
    from pyrunner.protocol import Role
    from pyrunner.runtime.loop import Loop, Ways

    def ways(scorer: Scorer) -> Ways:
        return Ways(_scoring(scorer, scorer.score, metrics), _scoring(scorer, scorer.score_columns, metrics))

    first = ways(loaded.scorer)
    waker = Waker()
    waker.on_signals()
    quiet = _Quiet() if options.supervised else ties.log
    return Loop(
        dialler=Dialler(options.bridge, options.token_file, Role.EVENTS, loaded.identity(options), quiet),
        score=first.score,
        score_columns=first.score_columns,
        meta=Meta,
        window=loaded.window,
        waker=waker,
        metrics=metrics,
        log=ties.log,
        on_ready=lambda bridge: ties.reporter.tell(
            "ready", model=loaded.version, stack_fd=ties.stack, bridge=bridge
        ),
        on_batch=calls.batch,
        lifeline=ties.lifeline,
        kept=loaded.kept,
        beside=[ways(loaded.scorer.beside()) for _ in range(loaded.concurrency - 1)],
    )


def _scoring(scorer: Scorer, score: Any, metrics: WorkerMetrics) -> Any:
    """A way of the scorer's as the loop calls it: writes are left with the bridge before the answer is sent, a batch is given back the
    loop's way, and misspelt fields are counted as a metric."""
    from pyrunner.runtime.loop import GiveBack
    from pyrunner.scoring import Surroundings

    unknown = scorer.unknown_fields
    batches = itertools.count()

    def scored(batch: Any, meta: Any) -> Any:
        try:
            answer = score(batch, meta)
            if answer.writes and scorer.access is not None:
                _stage(scorer.access.under(meta.lease, None), answer.writes)
            if unknown and not next(batches) % _UNKNOWN_EVERY:
                metrics.unknown(unknown)
            return answer
        except Surroundings as error:
            raise GiveBack(error.code, error.reason, error.retry_ms) from None
        except MemoryError as error:
            raise GiveBack("out_of_memory", f"out of memory: {error}", 1000) from None

    return scored


def _stage(access: Access, writes: Sequence[Any]) -> None:
    """Without its writes an answer does not count: what keeps them from being staged gives the batch back."""
    from pyrunner.data import DataError
    from pyrunner.scoring import Surroundings

    try:
        access.stage(writes)
    except DataError as error:
        raise Surroundings(error.code, str(error)) from None


def _report_unknown(scorer: Scorer, reporter: Reporter) -> None:
    """Tell the parent of misspelt fields, for a run that ends with a summary."""
    for sentence in scorer.unknown_fields.sentences():
        reporter.tell("unknown", sentence=sentence)


class _Quiet:
    """One tells of a bridge that is not there: the parent, or without one the events connection."""

    def info(self, event: str, **values: object) -> None: ...

    def warning(self, event: str, **values: object) -> None: ...


def _explain(error: Exception) -> str:
    if isinstance(error, UserError):
        return str(error)
    from pyrunner.userframes import told

    return told(error)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="pyrunner.runtime.worker", description="One worker process of ds-runner."
    )
    parser.add_argument("--program", type=Path, required=True, help="program.yaml")
    parser.add_argument("--command", required=True, help="the command whose events are scored")
    parser.add_argument("--bridge", required=True, help="tcp://host:port or unix:///path")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--env", help="merge program.ENV.yaml")
    parser.add_argument("--param", action="append", default=[], help="name=value")
    parser.add_argument("--model", help="version or alias")
    parser.add_argument(
        "--shadow", metavar="ROUTE", help="score beside the command, as its shadow of that name"
    )
    parser.add_argument(
        "--known-as", help="what the bridge knows the program by, where it is not the program's own name"
    )
    parser.add_argument(
        "--route", help="what the bridge knows this worker by: the command, or one version of it"
    )
    parser.add_argument(
        "--worker", default=f"{os.uname().nodename}-{os.getpid()}", help="name that no other worker has"
    )
    parser.add_argument("--slot", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="how many share this machine's processors")
    parser.add_argument("--metrics", type=Path, help="folder of the metrics files")
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-json", action=argparse.BooleanOptionalAction, default=None)
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--standby", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--report-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--stack-fd", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.route = options.shadow or options.route or options.command
    return options


if __name__ == "__main__":
    sys.exit(main())
