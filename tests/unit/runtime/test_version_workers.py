"""Versions that come and go while others serve: what is wanted, what is refused, and whose workers run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunner import Event, Model
from pyrunner.errors import UserError
from pyrunner.local import program_of, worker_specs
from pyrunner.project import open_project
from pyrunner.runtime import WorkerEvent, WorkerSpec
from pyrunner.runtime.room import MIB, Room, memory_of, refusal, room
from pyrunner.testing import FakeBridge
from pyrunner.versions import Versions

from .project import project, running

ALIASES = {"latest": "3", "champion": "2"}


@pytest.fixture
def bridge() -> Iterator[FakeBridge]:
    with FakeBridge(stream="numbers", batch=16) as fake:
        yield fake


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_workers_of_another_version_come_and_the_first_ones_go(tmp_path: Path, bridge: FakeBridge) -> None:
    with project(tmp_path) as program, running(program, bridge) as run:
        [first] = bridge.wait_ready()
        run.supervisor.change([WorkerSpec(program, "score-stream", version="4")], ())
        wait_for(lambda: run.kinds().count("ready") == 2, "the second is not ready")
        assert {event.command for event in run.events} == {"score-stream", "score-stream@4"}
        assert run.supervisor.largest() > 10 * MIB
        run.supervisor.change((), ["score-stream"])
        wait_for(lambda: not Path(f"/proc/{first.pid}").exists(), "the first does not end")
        wait_for(lambda: run.kinds()[-1] == "ended", "its end is not told")
        assert run.kinds().count("started") == 2, "nobody comes after a version that is not wanted"
        assert run.stop() == 0


def test_workers_are_replaced_one_after_the_other(tmp_path: Path, bridge: FakeBridge) -> None:
    with project(tmp_path) as program, running(program, bridge, workers=2) as run:
        wait_for(lambda: run.kinds().count("ready") == 2, "the first are not ready")
        run.supervisor.replace(WorkerSpec(program, "score-stream", 2, secrets=frozenset({"NOBODYS"})))
        wait_for(lambda: run.kinds().count("ready") == 4, "the second are not ready")
        slots = [(event.kind, event.slot) for event in run.events[4:]]
        one, other = slots[0][1], 1 - slots[0][1]
        assert slots == [(kind, slot) for slot in (one, other) for kind in ("ended", "started", "ready")]
        assert run.stop() == 0


def test_a_version_that_cannot_be_loaded_ends_nothing(tmp_path: Path, bridge: FakeBridge) -> None:
    with project(tmp_path) as program, running(program, bridge, fail_fast=True) as run:
        run.supervisor.change([WorkerSpec(program, "score-stream", version="9", model_ref="9")], ())
        bridge.wait_ready()
        wait_for(lambda: "failed" in run.kinds(), "the failure is not told")
        run.supervisor.change((), ["score-stream@9"])
        bridge.give([b'{"x": 1}'])
        bridge.answers(1)
        assert run.stop() == 0


class Number(Event):
    x: float


class Line(Model[Number, Number]):
    def fit(self, slope: float) -> Line:
        self.slope = slope
        return self

    def predict(self, events: list[Number]) -> list[Number]:
        return events


SERVED = """\
apiVersion: ds-runner.dev/v1alpha1
kind: Program
metadata: {name: lines}
spec:
  model: tests.unit.runtime.test_version_workers:Line
  commands:
    - {name: serve-api, workers: 2KEYS}
"""


def lines(folder: Path, keys: str = "") -> Any:
    """A project with versions 1 to 3, the last of which is the latest, and the champion 2."""
    (folder / "program.yaml").write_text(SERVED.replace("KEYS", keys))
    opened = open_project(folder / "program.yaml")
    for slope in (1.0, 2.0, 3.0):
        opened.store.save("lines", Line().fit(slope))
    opened.store.alias("lines", "champion", "2")
    return opened


def test_versions_side_by_side_have_workers_each_pinned_to_what_its_name_means(tmp_path: Path) -> None:
    opened = lines(tmp_path, ", versions: {champion: 90, 3: 10}, shadow: 1")
    specs = worker_specs(opened, opened.program.command("serve-api"))
    assert [(s.route, s.model_ref, s.workers) for s in specs] == [
        ("serve-api@3", "3", 2), ("serve-api@champion", "2", 2), ("serve-api/shadow", "1", 1),
    ]  # fmt: skip
    with pytest.raises(UserError, match=r"--model 1: program\.yaml names the versions of serve-api"):
        worker_specs(opened, opened.program.command("serve-api"), model="1")


def test_without_versions_the_workers_are_pinned_to_the_latest(tmp_path: Path) -> None:
    opened = lines(tmp_path)
    [spec] = worker_specs(opened, opened.program.command("serve-api"))
    assert (spec.route, spec.model_ref) == ("serve-api", "3")


def test_a_version_that_is_not_in_the_store_is_refused_before_anything_starts(tmp_path: Path) -> None:
    opened = lines(tmp_path, ", versions: {7: 1}")
    with pytest.raises(UserError, match="no model 7"):
        worker_specs(opened, opened.program.command("serve-api"))


def test_a_model_of_another_project_has_workers_that_the_server_knows_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = lines(tmp_path / "other")
    (tmp_path / "own").mkdir()
    opened = lines(tmp_path / "own", ", models: {thrice: ../other/program.yaml}")
    own, guest = worker_specs(opened, opened.program.command("serve-api"))
    assert (own.route, own.served, own.program) == ("serve-api", "serve-api", opened.path)
    assert (guest.route, guest.name, guest.command) == ("serve-api:thrice", "lines", "serve-api")
    assert (guest.program, guest.model_ref, guest.workers) == (other.path, "3", 2)
    assert program_of(opened, guest).path == other.path and program_of(opened, own) is opened


@pytest.mark.parametrize(
    ("path", "said"), [("nowhere.yaml", "no file nowhere.yaml"), ("../own", "no file ../own")]
)
def test_a_project_that_is_not_there_is_told_by_its_place(tmp_path: Path, path: str, said: str) -> None:
    (tmp_path / "own").mkdir()
    opened = lines(tmp_path / "own", f", models: {{thrice: {path}}}")
    with pytest.raises(UserError, match=rf"serve-api\.models\.thrice: {said}"):
        worker_specs(opened, opened.program.command("serve-api"))


class Client:
    """Stands in for the bridge: wants what it is told to want, and keeps what it is told."""

    def __init__(self) -> None:
        self.wanted: dict[str, str] = {"": ""}
        self.since = 1
        self.asks: list[str] = []
        self.weights: dict[str, int] = {}
        self.told: list[tuple[Any, ...]] = []
        self.watched: list[tuple[Any, ...]] = []

    def call(self, method: str, command: str, *args: Any, deadline: float) -> bytes | None:
        if method != "versions.watch":
            self.told.append((method, command, *args))
            return None
        self.watched.append(args)
        versions = [
            {"name": n, "route": f"{command}@{n}", "model": m, "since": self.since}
            for n, m in self.wanted.items()
        ]
        wish = {
            "generation": len(self.watched),
            "versions": versions,
            "asks": self.asks,
            "weights": self.weights,
        }
        return json.dumps(wish).encode()


class Parent:
    """The versions of a project, with what was asked of the supervisor."""

    def __init__(self, opened: Any, *, largest: int = 0, left: Room | None = None) -> None:
        self.changes: list[tuple[list[tuple[str, str | None]], list[str]]] = []
        self.turned: list[tuple[str, str | None]] = []
        self.client = Client()

        def change(add: Any, remove: Any) -> None:
            self.changes.append(([(s.route, s.model_ref) for s in add], list(remove)))

        self.versions = Versions(
            opened, worker_specs(opened, opened.program.command("serve-api")), "tcp://127.0.0.1:1", Path("token"),
            change=change, turn_to=lambda s: self.turned.append((s.route, s.model_ref)), largest=lambda: largest, log=Quiet(), left=lambda: left,
        )  # fmt: skip

    def turn(self, **wanted: str) -> None:
        self.client.wanted = {n.lstrip("v"): m for n, m in wanted.items()}
        self.versions.turn(self.client)


class Quiet:
    def info(self, *_: object, **__: object) -> None: ...
    def error(self, *_: object, **__: object) -> None: ...


def test_what_is_wanted_is_run_and_what_is_not_ends(tmp_path: Path) -> None:
    parent = Parent(lines(tmp_path))
    parent.turn(v="", v1="1")
    parent.turn(v="", v1="1")
    parent.turn(v1="1")
    assert parent.changes == [([("serve-api@1", "1")], []), ([], ["serve-api"])]
    assert parent.client.told == []


def test_another_version_in_the_place_of_one_needs_no_room_for_both(tmp_path: Path) -> None:
    parent = Parent(lines(tmp_path), largest=400 * MIB, left=Room(2048 * MIB, 0))
    for model in ("1", "1", "8", "8", "3"):
        parent.turn(v=model)
    assert parent.turned == [("serve-api", "1"), ("serve-api", "3")]
    [(_, _, name, reason)] = parent.client.told
    assert name == "" and "no model 8" in reason and parent.changes == []


def test_names_are_looked_up_in_the_store(tmp_path: Path) -> None:
    parent = Parent(lines(tmp_path))
    parent.client.asks = ["champion", "nobody"]
    parent.turn(v="")
    first, second = parent.client.told
    assert first == ("versions.named", "serve-api", "champion", "2", "")
    assert second[:4] == ("versions.named", "serve-api", "nobody", "") and "no model nobody" in second[4]


def test_what_is_not_there_or_has_changed_is_told_once_and_not_run(tmp_path: Path) -> None:
    opened = lines(tmp_path)
    for file in (tmp_path / "models" / "lines" / "1").iterdir():
        if file.suffix != ".json":
            file.write_bytes(file.read_bytes() + b"?")
    parent = Parent(opened)
    for _ in range(2):
        parent.turn(v="", v1="1", v8="8")
    (method, _, name, changed), (_, _, missing, unknown) = parent.client.told
    assert (method, name, missing) == ("versions.failed", "1", "8")
    assert "hash" in changed and "no model 8" in unknown
    parent.client.since = 2
    parent.turn(v="", v8="8")
    assert len(parent.client.told) == 3, "what is wanted again is tried again, though its end was not seen"
    parent.turn(v="")
    assert parent.changes == []


def test_without_room_for_both_a_version_is_refused_with_figures(tmp_path: Path) -> None:
    parent = Parent(lines(tmp_path), largest=400 * MIB, left=Room(2048 * MIB, 700 * MIB))
    parent.turn(v="", v1="1")
    [(_, _, _, reason)] = parent.client.told
    assert (
        "2 more workers need about 944 MiB, by the 400 MiB that one has now, and of 2048 MiB 700 MiB are free"
        in reason
    )
    assert "swap: in-place" in reason and parent.changes == []


def test_failures_of_workers_are_told_of_versions_that_were_added(tmp_path: Path) -> None:
    parent = Parent(lines(tmp_path))
    parent.turn(v="", v1="1")
    for route in ("serve-api", "serve-api@1", "serve-api/shadow"):
        parent.versions.note(WorkerEvent("failed", route, 0, 1, "load", f"boom of {route}"))
    parent.turn(v="", v1="1")
    assert parent.client.told == [("versions.failed", "serve-api", "1", "boom of serve-api@1")]


def test_a_bridge_is_told_the_weights_of_the_last_change(tmp_path: Path) -> None:
    parent = Parent(lines(tmp_path))
    parent.client.weights = {"1": 90, "3": 10}
    parent.turn(v="")
    parent.client.weights = {}
    parent.turn(v="")
    assert [args[2] for args in parent.client.watched] == [[], [["1", 90], ["3", 10]]]


MEMINFO = "MemTotal:        8388608 kB\nMemFree:          111111 kB\nMemAvailable:    4194304 kB\n"


def machine(root: Path, cgroup: str = "", **files: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(MEMINFO)
    (root / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("DOT", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def test_room_is_the_tightest_of_machine_and_cgroups(tmp_path: Path) -> None:
    assert room(machine(tmp_path / "bare")) == Room(8192 * MIB, 4096 * MIB)
    group = "sys__fs__cgroup__a__memoryDOT"
    tight = {f"{group}max": str(1024 * MIB), f"{group}current": str(900 * MIB), f"{group}stat": f"anon 5\ninactive_file {100 * MIB}\n"}  # fmt: skip
    assert room(machine(tmp_path / "two", "0::/a/b\n", **tight)) == Room(1024 * MIB, 224 * MIB)
    loose = {f"{group}max": "max\n", f"{group}current": "5"}
    assert room(machine(tmp_path / "loose", "0::/a\n", **loose)) == Room(8192 * MIB, 4096 * MIB)
    old = {"sys__fs__cgroup__memory__a__memoryDOTlimit_in_bytes": str(512 * MIB), "sys__fs__cgroup__memory__a__memoryDOTusage_in_bytes": "0"}  # fmt: skip
    assert room(machine(tmp_path / "one", "4:memory:/a\n", **old)) == Room(512 * MIB, 512 * MIB)
    assert room(tmp_path / "nothing") is None


V1, UNLIMITED = "sys__fs__cgroup__memory", 9223372036854771712
V2 = "sys__fs__cgroup"


@pytest.mark.parametrize(
    ("cgroup", "files", "wanted"),
    [
        ("0::/\n", {f"{V2}__memoryDOTmax": 600, f"{V2}__memoryDOTcurrent": 100}, Room(600 * MIB, 500 * MIB)),
        (
            "0::/pod/box\n",
            {
                f"{V2}__pod__memoryDOTmax": 700, f"{V2}__pod__memoryDOTcurrent": 650,
                f"{V2}__pod__box__memoryDOTmax": 400, f"{V2}__pod__box__memoryDOTcurrent": 100,
            },
            Room(700 * MIB, 50 * MIB),
        ),
        (
            "4:memory:/kubepods/pod7/box\n0::/\n",
            {f"{V1}__memoryDOTlimit_in_bytes": 300, f"{V1}__memoryDOTusage_in_bytes": 20},
            Room(300 * MIB, 280 * MIB),
        ),
        (
            "9:name=systemd:/\n4:cpu,memory:/a\n0::/\n",
            {
                f"{V1}__memoryDOTlimit_in_bytes": UNLIMITED // MIB, f"{V1}__memoryDOTusage_in_bytes": 9000,
                f"{V1}__a__memoryDOTlimit_in_bytes": 256, f"{V1}__a__memoryDOTusage_in_bytes": 300,
            },
            Room(256 * MIB, 0),
        ),
        ("0::/../elsewhere\n", {f"{V2}__memoryDOTmax": 500, f"{V2}__memoryDOTcurrent": 0}, Room(500 * MIB, 500 * MIB)),
        ("nonsense\n\n", {}, Room(8192 * MIB, 4096 * MIB)),
    ],
    ids=["2, in a container", "2, the parent is tighter", "1, in a container", "1 and 2, over the limit", "2, of another name space", "nonsense"],
)  # fmt: skip
def test_room_is_read_from_either_version_of_cgroups(
    tmp_path: Path, cgroup: str, files: dict[str, int], wanted: Room
) -> None:
    told = {name: f"{mib * MIB}\n" for name, mib in files.items()}
    assert room(machine(tmp_path / "root", cgroup, **told)) == wanted


def test_the_memory_of_a_process_counts_shared_pages_once(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/smaps_rollup").write_text(
        "Rss: 900 kB\nPss:  300 kB\nPss_Anon: 5 kB\nSwapPss:  20 kB\n"
    )
    (tmp_path / "proc/8").mkdir()
    (tmp_path / "proc/8/status").write_text("VmHWM: 9 kB\nVmRSS:\t  50 kB\n")
    assert [memory_of(pid, tmp_path) for pid in (7, 8, 9)] == [320 * 1024, 50 * 1024, 0]


def test_where_nothing_is_known_there_is_room() -> None:
    assert refusal(2, 0, Room(1, 0)) is None
    assert refusal(2, 100 * MIB, None) is None
    assert refusal(1, 100 * MIB, Room(1024 * MIB, 174 * MIB)) is None
    assert "are free" in (refusal(1, 100 * MIB, Room(1024 * MIB, 173 * MIB)) or "")
