"""The pure parts of the runtime: causes of death, evidence of memory, stacks, mishaps, settings."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from pyrunner import logs
from pyrunner.runtime.deaths import EXIT_LOAD, EXIT_ROBBED, Death, name_death
from pyrunner.runtime.environment import thread_settings
from pyrunner.runtime.memory import OomCounter
from pyrunner.runtime.mishaps import Mishaps
from pyrunner.runtime.reports import Reporter, ReportReader
from pyrunner.runtime.slots import Slot
from pyrunner.runtime.specs import WorkerSpec
from pyrunner.runtime.stacks import StackFile, users_stack


@pytest.mark.parametrize(
    ("returncode", "known", "cause", "detail"),
    [
        (0, {}, "exit", "exit code 0"),
        (3, {}, "exit", "exit code 3"),
        (EXIT_ROBBED, {}, "exit", "user code closed descriptors of the wire, exit code 76"),
        (EXIT_LOAD, {"failure": "no model"}, "load", "no model"),
        (-signal.SIGSEGV, {}, "signal", "SIGSEGV"),
        (-signal.SIGABRT, {}, "signal", "SIGABRT"),
        (-signal.SIGKILL, {}, "killed", "SIGKILL"),
        (-signal.SIGKILL, {"out_of_memory": True}, "oom", "the kernel killed it"),
        (-signal.SIGKILL, {"cut": "over 5 s", "out_of_memory": True}, "hang", "over 5 s"),
        (-signal.SIGTERM, {}, "killed", "SIGTERM"),
        (-signal.SIGSEGV, {"cut": "over 5 s"}, "signal", "SIGSEGV"),
        (-63, {}, "signal", "signal 63"),
    ],
)
def test_a_death_has_one_cause(returncode, known, cause, detail):
    death = name_death(returncode, **known)
    assert death == Death(cause, detail)
    assert detail in death.sentence


def test_out_of_memory_is_read_from_the_own_cgroup(tmp_path: Path):
    events = tmp_path / "sys/fs/cgroup/pod/memory.events"
    events.parent.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod\n")
    (tmp_path / "proc/vmstat").write_text("oom_kill 9\n")
    events.write_text("low 0\noom 3\noom_kill 1\noom_group_kill 0\n")
    counter = OomCounter(tmp_path)
    assert not counter.rose()
    (tmp_path / "proc/vmstat").write_text("oom_kill 10\n")
    assert not counter.rose()  # another container's
    events.write_text("low 0\noom 4\noom_kill 2\n")
    assert counter.rose()
    assert not counter.rose()


def test_without_a_cgroup_the_machine_tells_and_without_that_nobody(tmp_path: Path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/vmstat").write_text("nr_free 1\noom_kill 2\n")
    counter = OomCounter(tmp_path)
    (tmp_path / "proc/vmstat").write_text("nr_free 1\noom_kill 3\n")
    assert counter.rose()
    assert not OomCounter(tmp_path / "nothing").rose()


DUMP = """\
Thread 0x00007f0 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 320 in wait

Current thread 0x00007f1 (most recent call first):
  File "/usr/lib/python3.11/re/__init__.py", line 166 in match
  File "/home/me/science.py", line 41 in estimate
  File "/home/me/science.py", line 30 in predict
  File "%s/scoring/scorer.py", line 80 in score
  File "%s/runtime/loop.py", line 130 in _answer
"""


def test_the_users_part_of_a_stack_is_shown():
    ours = str(Path(logs.__file__).parent)
    shown = users_stack(DUMP % (ours, ours)).splitlines()
    assert [line.rsplit(" in ")[1] for line in shown] == ["match", "estimate", "predict"]


def test_a_dump_is_not_asked_for_where_another_file_has_taken_the_descriptor(tmp_path: Path):
    stack = StackFile()
    other = os.open(tmp_path / "other", os.O_CREAT | os.O_RDWR)
    assert not stack.ask(os.getpid(), other)
    assert not stack.ask(os.getpid(), None)
    os.close(other)
    stack.close()


def test_an_error_is_shown_once_a_minute_and_counted():
    with capture_logs() as lines:
        mishaps = Mishaps(logs.get())
        shown = [
            mishaps.note(f"s/0/{i}", "exception", "ValueError: x", "Trace\nValueError: x", float(i))
            for i in range(70)
        ]
        mishaps.note("s/0/70", "exception", "KeyError: y", "Trace\nKeyError: y", 70.0)
    assert shown.count(True) == 2
    assert lines[0]["reproduce"] == "ds-runner replay --only s/0/0 --pdb"
    assert lines[1]["repeated"] == 59
    assert lines[2]["reason"] == "KeyError: y"


def test_mishaps_remember_a_bounded_number():
    mishaps = Mishaps(logs.get())
    with capture_logs():
        for i in range(1000):
            mishaps.note("s/0/0", "exception", f"ValueError: {i}", None, 0.0)
    assert len(mishaps._seen) <= 256


def test_threads_are_shared_out_unless_the_user_has_said_otherwise():
    settings = thread_settings(2, {"MKL_NUM_THREADS": "7"}, processors=8)
    assert settings["OMP_NUM_THREADS"] == "4"
    assert settings["MKL_NUM_THREADS"] == "7"
    assert thread_settings(16, {}, processors=8)["OMP_NUM_THREADS"] == "1"


def test_reports_survive_garbage_and_long_texts():
    reader = ReportReader()
    reporter = Reporter(os.dup(reader.inherited))
    reporter.tell("failed", reason="x" * 100_000)
    os.write(reader.inherited, b"not json\n[1]\n")
    reporter.tell("ready", model="3")
    reports, more = reader.read()
    assert [report["kind"] for report in reports] == ["failed", "ready"]
    assert len(reports[0]["reason"]) == 2000
    assert more
    reader.started()
    os.close(reporter._descriptor)
    assert reader.read() == ([], False)
    reader.close()


def test_a_slot_waits_longer_for_a_model_that_does_not_load_than_for_a_death():
    slot = Slot(WorkerSpec(Path("program.yaml"), "score-stream"), 0)
    loads = [slot.died(0.0, while_loading=True) for _ in range(10)]
    assert loads[-1] > 10
    slot.ready(100.0)
    assert slot.died(101.0, while_loading=False) < 1
    slot.ready(200.0)
    assert slot.died(260.0, while_loading=False) == 0.0


def test_a_slot_whose_workers_are_killed_while_they_load_is_filled_within_a_second():
    slot = Slot(WorkerSpec(Path("program.yaml"), "score-stream"), 0)
    assert max(slot.died(0.0, while_loading=False, killed=True) for _ in range(30)) <= 1.0
    assert max(slot.died(0.0, while_loading=False) for _ in range(10)) > 10
