"""python -m tests.providers: what is held lives as long as its holder, and nothing of it longer."""

from __future__ import annotations

import glob
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.providers.choice import provider
from tests.providers.containers import engine
from tests.providers.reaper import EngineConnection

ROOT = Path(__file__).parents[3]
OTHERS = {key: value for key, value in os.environ.items() if key != "DS_PROVIDERS"}


def _start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
    environment = {**OTHERS, **settings.pop("env", {})}
    command = [sys.executable, "-m", "tests.providers", *arguments]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **settings,
    )


def _read(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    return process.stdout.readline().strip()


def _say(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return _read(process)


def _serves(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 2).close()
    except OSError:
        return False
    return True


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.05)


@pytest.fixture
def temporary() -> Path:
    """Where the holder puts its folders, so that the test sees what is left of them. Others than its user go through."""
    folder = Path(tempfile.mkdtemp(prefix="ds-left-"))
    folder.chmod(0o711)
    return folder


def _processes_below(folder: Path) -> list[str]:
    """Processes that name `folder` in their command line."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            text = Path(path).read_text().replace("\0", " ")
        except OSError:
            continue
        if str(folder) in text:
            found.append(text)
    return found


def _containers_of(holder: int) -> list[str]:
    """Containers, running or not, that the process `holder` made."""
    if provider() == "process":
        return []
    connection = EngineConnection(engine.address() or "", timeout=10)
    connection.request("GET", "/containers/json?all=true")
    names = [name for one in json.load(connection.getresponse()) for name in one["Names"]]
    connection.close()
    return [name for name in names if f"-{holder}-" in name]


@pytest.mark.parametrize("how", ["the end of its input", "SIGKILL"])
def test_nothing_is_left_of_servers_whose_holder_ends_by(how: str, temporary: Path) -> None:
    names = ["redis", "postgres", "nats", "registry"]
    holder = _start("hold", *names, env={"TMPDIR": str(temporary)})
    urls = [one["url"] for one in json.loads(_read(holder)).values()]
    assert len(urls) == len(names) and all(map(_serves, urls))

    if how == "SIGKILL":
        holder.kill()
    holder.communicate(timeout=90)

    _wait(lambda: not any(map(_serves, urls)), "the servers to end")
    _wait(lambda: not _processes_below(temporary), "the last process")
    _wait(lambda: not list(temporary.iterdir()), "the folders to be removed")
    _wait(lambda: not _containers_of(holder.pid), "the containers to be removed")
    temporary.rmdir()


def test_a_holder_that_is_killed_while_it_starts_leaves_nothing(temporary: Path) -> None:
    holder = _start("hold", "postgres", "redis", env={"TMPDIR": str(temporary), "DS_PROVIDER": "process"})
    _wait(lambda: len(list(temporary.iterdir())) == 2 or holder.poll() is not None, "the first folders")
    holder.kill()
    holder.communicate(timeout=90)
    _wait(lambda: not _processes_below(temporary), "the last process")
    _wait(lambda: not list(temporary.iterdir()), "the folders to be removed")
    temporary.rmdir()


def test_a_holder_kills_and_restarts_on_demand() -> None:
    holder = _start("hold", "redis")
    url = json.loads(_read(holder))["redis"]["url"]
    assert _say(holder, "kill redis") == "ok"
    assert not _serves(url)
    assert _say(holder, "restart redis") == "ok"
    assert _serves(url)
    assert _say(holder, "tickle redis").startswith("error: 'tickle redis' is not one of kill|restart")
    assert _say(holder, "kill kafka").startswith("error: ")
    holder.communicate(timeout=90)
    assert holder.returncode == 0


def test_a_holder_hands_on_what_runs_already(tmp_path: Path) -> None:
    file = tmp_path / "providers.json"
    file.write_text('{\n"redis": {"url": "redis://there:1"}}')
    holder = _start("hold", "redis", env={"DS_PROVIDERS": str(file)})
    assert json.loads(_read(holder)) == {"redis": {"url": "redis://there:1"}}
    holder.communicate(timeout=90)


def test_a_command_runs_with_servers_and_its_code_is_told() -> None:
    program = "import json, os, sys; print(list(json.load(open(os.environ['DS_PROVIDERS'])))); sys.exit(7)"
    runner = _start("run", "redis", "registry", "--", sys.executable, "-c", program)
    out, _ = runner.communicate(timeout=120)
    assert (out.strip(), runner.returncode) == ("['redis', 'registry']", 7)


def test_an_interrupt_ends_holder_and_servers() -> None:
    holder = _start("hold", "redis", start_new_session=True)
    url = json.loads(_read(holder))["redis"]["url"]
    os.killpg(holder.pid, signal.SIGINT)
    holder.communicate(timeout=90)
    assert holder.returncode == 130
    _wait(lambda: not _serves(url), "redis to end")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "hold NAMES..."),
        (["hold"], "hold NAMES..."),
        (["run", "redis", "--"], "run NAMES... -- COMMAND"),
        (
            ["hold", "mysql"],
            "there is no component 'mysql': take one of kafka, nats, redis, postgres, s3, registry",
        ),
    ],
)
def test_a_wrong_call_is_answered_with_what_is_right(arguments: list[str], said: str) -> None:
    holder = _start(*arguments, stderr=subprocess.PIPE)
    _, err = holder.communicate(timeout=90)
    assert holder.returncode != 0
    assert said in err and "Traceback" not in err
