"""A pytest plugin that writes the report of the catalogue: `pytest -p tests.faults.report --faults-report FILE`.

It keeps to tests of faults: those of this folder, and those elsewhere that have a number of the catalogue in their name. Go's come
from the output of `go test -json` (`--faults-go FILE`). A number without a test fails the run.

A test's rows of the ledger are its property `ledger`, a dictionary with the columns below, any number of times: the
fixtures `rig` and `record` write them.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.providers.choice import provider

from .catalogue import CATALOGUE, numbers

COLUMNS = ("seed", "kills", "acked", "out", "dead", "LOST", "DUP", "WRONG", "stall", "p95", "RSS")
_ROOT = Path(__file__).parents[2]
_BAD = ("failed", "skipped")  # a skipped test shows nothing


@dataclass
class Shown:
    """A test that has run."""

    name: str  # as one calls it
    place: str  # file or package
    outcome: str
    seconds: float
    rows: list[Mapping[str, object]] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--faults-report", metavar="FILE", help="write the report of the catalogue of faults there"
    )
    group.addoption("--faults-go", metavar="FILE", help="what `go test -json` said of Go's fault tests")


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption("--faults-report")
    if target:
        config.pluginmanager.register(_Selection())
        if not hasattr(config, "workerinput"):  # not in the processes of xdist
            config.pluginmanager.register(_Report(Path(target), config.getoption("--faults-go"), config))


class _Selection:
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leaves out what is neither of this folder nor of the catalogue."""
        here = Path(__file__).parent
        others = [item for item in items if here not in item.path.parents and not numbers(item.name)]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item not in set(others)]


class _Report:
    def __init__(self, target: Path, go: str | None, config: pytest.Config) -> None:
        self._target, self._config, self._began = target, config, time.time()
        self._tests: dict[str, Shown] = {}
        self._go = list(read_go(Path(go).read_text().splitlines())) if go else []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        place, _, name = report.nodeid.partition("::")
        shown = self._tests.setdefault(
            report.nodeid, Shown(name, place, "passed", 0.0, numbers=numbers(name))
        )
        shown.seconds += report.duration
        if report.outcome != "passed":
            shown.outcome = report.outcome
            # At once: the run goes on for half an hour, and may be cut.
            self._config.pluginmanager.getplugin("terminalreporter").write_line(  # type: ignore[union-attr]
                f"\n{report.outcome}: {report.nodeid} ({report.when})\n{report.longreprtext}"
            )
        if report.when == "teardown":
            shown.rows = [row for kind, row in report.user_properties if kind == "ledger" and row]  # type: ignore[misc]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        tests = sorted([*self._tests.values(), *self._go], key=lambda test: (test.place, test.name))
        self._target.write_text(write(tests, versions(), self._began))
        if missing(tests) or any(test.outcome in _BAD for test in self._go):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.write_line(f"report: {self._target}")
        for number in missing([*self._tests.values(), *self._go]):
            terminalreporter.write_line(f"{number} has no test: {CATALOGUE[number].fault}", red=True)
        for test in self._go:
            if test.outcome in _BAD:
                terminalreporter.write_line(f"{test.outcome}: {test.name} in {test.place}", red=True)


def missing(tests: Iterable[Shown]) -> list[str]:
    """The numbers that no test shows."""
    shown = {number for test in tests for number in test.numbers}
    return [number for number in CATALOGUE if number not in shown]


_OUTCOMES = {"pass": "passed", "fail": "failed", "skip": "skipped"}
_LEDGER = re.compile(r"ledger: (\{.*\})")


def read_go(lines: Iterable[str]) -> Iterator[Shown]:
    """Tests of the catalogue in the output of `go test -json`. A line `ledger: {...}` in a test's log is a row of it."""
    rows: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for line in lines:
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        if event["Action"] == "fail" and "Test" not in event:  # of its tests, or before any could run
            yield Shown("the package", event["Package"], "failed", event.get("Elapsed", 0.0))
            continue
        test, package = event.get("Test", ""), event.get("Package", "")
        if not numbers(test) or "/" in test:
            continue
        ledger = _LEDGER.search(event.get("Output", ""))
        if ledger:
            rows.setdefault((package, test), []).append(json.loads(ledger[1]))
        if event["Action"] in _OUTCOMES:
            place = package.partition("/bridge_go/")[2] or package
            yield Shown(
                test, f"bridge_go/{place}", _OUTCOMES[event["Action"]], event.get("Elapsed", 0.0),
                rows.get((package, test), []), numbers(test),
            )  # fmt: skip


def versions() -> dict[str, str]:
    """What ran, in words."""
    found = {
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
        "machine": f"{os.cpu_count()} cores, {_memory()} GiB, {platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "Go": _output("go", "env", "GOVERSION").removeprefix("go"),
        "servers": f"{provider()}: {', '.join(_servers())}",
    }
    for module in (
        "github.com/twmb/franz-go",
        "github.com/nats-io/nats.go",
        "github.com/redis/rueidis",
        "github.com/jackc/pgx/v5",
    ):
        found[module.removeprefix("github.com/")] = _module(module)
    return found


def _servers() -> list[str]:
    """What the local processes are made of; containers say theirs by the names of their images."""
    folder = _ROOT / "tests" / "providers" / "local"
    kafka = re.search(
        r"kafka_[\d.]+</artifactId>\s*<version>([^<]+)",
        "".join(p.read_text() for p in folder.rglob("pom.xml")),
    )
    nats = re.search(r"nats-server/v2 v(\S+)", "".join(p.read_text() for p in folder.rglob("go.mod")))
    redis = re.search(r"v=(\S+)", _output("redis-server", "--version"))
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    postgres = re.search(r"([\d.]+)", _output(str(places[-1]) if places else "postgres", "--version"))
    found = {"Kafka": kafka, "NATS": nats, "Redis": redis, "PostgreSQL": postgres}
    return [f"{name} {version[1]}" for name, version in found.items() if version]


def _module(path: str) -> str:
    found = re.search(rf"^\s*{re.escape(path)} (v\S+)", (_ROOT / "go.mod").read_text(), re.MULTILINE)
    return found[1] if found else "?"


def _memory() -> int:
    return (os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") + (1 << 29)) >> 30


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "?"


def write(tests: Sequence[Shown], ran: Mapping[str, str], began: float) -> str:
    """The report, as Markdown."""
    bad = [test for test in tests if test.outcome in _BAD]
    lines = [
        "# What the faults did",
        "",
        "Written by `make faults`; [catalogue.py](catalogue.py) has the numbers. LOST, DUP and WRONG are counted by the auditor of"
        " [auditor.py](auditor.py); *stall* is the longest time between two results, *p95* that of the recovery from a kill, both in seconds, and *RSS* the bridge's peak in MiB.",
        "",
        f"{len(tests)} tests, {len(tests) - len(bad)} passed, {time.strftime('%Y-%m-%d %H:%M', time.gmtime(began))} UTC,"
        f" {max(0.0, time.time() - began) / 60:.0f} minutes.",
        "",
        *_table(("", ""), ran.items()),
        "",
        "## The catalogue",
        "",
        *_table(("#", "fault", "what must hold", "tests", "seconds", "result"), (_of(number, tests) for number in CATALOGUE)),
        "",
        "## The ledger",
        "",
        *_table(("test", *COLUMNS), _ledger(tests)),
        "",
        "## The tests",
        "",
        *_table(("#", "test", "where", "seconds", "outcome"), (
            (" ".join(t.numbers), f"`{t.name}`" + (f" x {n}" if n > 1 else ""), t.place, f"{t.seconds:.1f}", t.outcome)
            for t, n in _folded(tests)
        )),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def _of(number: str, tests: Sequence[Shown]) -> tuple[object, ...]:
    shown = [test for test in tests if number in test.numbers]
    failed = [test for test in shown if test.outcome in _BAD]
    result = "**no test**" if not shown else f"**{len(failed)} of {len(shown)} fail**" if failed else "holds"
    row = CATALOGUE[number]
    return number, row.fault, row.holds, len(shown), f"{sum(test.seconds for test in shown):.0f}", result


def _folded(tests: Sequence[Shown]) -> Iterator[tuple[Shown, int]]:
    """Tests with the number of their cases: those of one function and one outcome are one."""
    cases: dict[tuple[str, str, str], list[Shown]] = {}
    for test in tests:
        cases.setdefault((test.place, test.name.partition("[")[0], test.outcome), []).append(test)
    for (place, name, outcome), all_ in cases.items():
        yield Shown(name, place, outcome, sum(t.seconds for t in all_), numbers=all_[0].numbers), len(all_)


def _ledger(tests: Sequence[Shown]) -> Iterator[tuple[object, ...]]:
    for test in tests:
        for row in test.rows:
            yield f"`{test.name}`", *(row.get(column, "") for column in COLUMNS)


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |"


def names_in_the_source() -> Iterator[str]:
    """The names of all numbered tests that the two languages have, without running any."""
    for path in (_ROOT / "tests").rglob("test_*.py"):
        if ".envs" not in path.parts:
            yield from re.findall(r"^(?:async )?def (test_T\d\w*)", path.read_text(), re.MULTILINE)
    for path in (_ROOT / "bridge_go").rglob("*_test.go"):
        yield from re.findall(r"^func (TestT\d\w*)\(", path.read_text(), re.MULTILINE)


if __name__ == "__main__":  # the numbers that nothing shows yet
    named = {number for name in names_in_the_source() for number in numbers(name)}
    sys.exit("\n".join(f"{n} {CATALOGUE[n].fault}" for n in CATALOGUE if n not in named) or 0)
