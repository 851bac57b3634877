"""The bridge as a child process, and the one that is running already.

The binary `ds-bridge` holds brokers and data. In a pod it is a container of its own and the CLI is told where it listens
(`--bridge`). On a laptop `up`, `replay`, `score-stream` and `serve-api` start one themselves:

    find_bridge() -> start(...) -> Bridge -> Supervisor dials Bridge.wire -> Bridge.stop()

A bridge that is ready writes `<state>/bridge.json` and removes it when it ends. That file is how `start` knows that it may
go on, and how `publish`, `tail` and `dead` in a second terminal find the first (`discover`).
"""

import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyrunner.errors import UserError
from pyrunner.resources import packaged_binary

READY_SECONDS = 60.0  # the embedded store of a large topic is recovered before the bridge is ready
STOP_SECONDS = (
    30.0  # a drain waits for the batches in flight: the default deadline (5 s) and a flush, with room
)
USER_MISTAKE = 2  # ds-bridge ends with this when program.yaml is wrong, as the CLI does


class Unavailable(Exception):
    """Something outside that the command needs is not there or went away; the CLI prints it and ends with exit code 3."""


@dataclass(frozen=True)
class Running:
    """A bridge that answers: what its discovery file says."""

    pid: int
    wire: str
    token_file: Path
    http: str = ""
    grpc: str = ""
    metrics: str = ""
    version: str = ""


def find_bridge() -> Path:
    """The `ds-bridge` to use: `DS_BRIDGE`, else the one in the wheel, else the first on PATH."""
    named = os.environ.get("DS_BRIDGE")
    if named:
        return _executable(Path(named))
    packaged = packaged_binary()
    if packaged.exists():
        return _executable(packaged)
    found = shutil.which("ds-bridge")
    if found:
        return Path(found)
    raise UserError(
        f"no ds-bridge binary: not in this installation ({packaged}), not on PATH. "
        "Build it with: make build, or name one: DS_BRIDGE=/path/to/ds-bridge"
    )


def version_of(binary: Path) -> str:
    """What `ds-bridge version` says, in one line."""
    try:
        out = subprocess.run([binary, "version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as e:
        raise Unavailable(f"{binary} does not run: {e}") from e
    return out.stdout.strip()


def discover(state: Path) -> Running | None:
    """The bridge that runs with this state folder, or None. A file left behind by a killed one does not count."""
    try:
        said = json.loads((state / "bridge.json").read_bytes())
        running = Running(
            pid=int(said["pid"]),
            wire=said["wire"],
            token_file=Path(said["token_file"]),
            http=said.get("http") or "",
            grpc=said.get("grpc") or "",
            metrics=said.get("metrics") or "",
            version=said.get("version") or "",
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, or half written: not ready
    return running if _alive(running.pid) else None


@dataclass
class Options:
    """What a bridge is started with. Each field is a flag of `ds-bridge run`."""

    program: Path
    commands: Sequence[str]
    state: Path
    env: str | None = None
    params: Sequence[str] = ()
    listen: str = "tcp://127.0.0.1:0"
    http: str | None = None
    metrics: str | None = "127.0.0.1:0"
    fsync: str | None = None
    input: str | None = None
    output: str | None = None
    ledger: Path | None = None
    tape: Path | None = None
    speed: float | None = None
    only: Sequence[str] = ()
    exit_at_end: bool = False
    data_only: bool = False
    summary: Path | None = None
    log_format: str = "json"
    log_level: str = "info"
    token_file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.token_file = self.state / "token"

    def arguments(self) -> list[str]:
        """The command line behind the binary's name."""
        args = ["run", "--program", str(self.program), "--state", str(self.state)]
        args += ["--listen", self.listen, "--token-file", str(self.token_file)]
        args += ["--log-format", self.log_format, "--log-level", self.log_level]
        args += _repeated("--command", self.commands)
        args += _repeated("--param", self.params)
        args += _repeated("--only", self.only)
        for flag, value in (
            ("--env", self.env),
            ("--http", self.http),
            ("--metrics", self.metrics),
            ("--fsync", self.fsync),
            ("--input", self.input),
            ("--output", self.output),
            ("--ledger", self.ledger),
            ("--tape", self.tape),
            ("--speed", self.speed),
            ("--summary", self.summary),
        ):
            if value is not None:
                args += [flag, str(value)]
        if self.exit_at_end:
            args.append("--exit-at-end")
        if self.data_only:
            args.append("--data-only")
        return args


class Bridge:
    """A bridge that this process started and that does not outlive it."""

    def __init__(self, process: subprocess.Popen[bytes], running: Running, log: Path | None) -> None:
        self.process = process
        self.running = running
        self.log = log

    @property
    def wire(self) -> str:
        """The address that workers dial."""
        return self.running.wire

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self.process.poll()

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end and return the exit code. Raises subprocess.TimeoutExpired."""
        return self.process.wait(seconds)

    def drain(self) -> None:
        """Ask it to end gently: intake stops, what is in flight is finished, flushed and committed. Does not wait."""
        if self.process.poll() is None:
            self.process.terminate()

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """Drain, wait, and kill what is left after `seconds`. Returns the exit code. May be called again."""
        self.drain()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def last_words(self) -> str:
        """The end of its log, for the message that says why it ended."""
        return last_words(self.log)


def start(options: Options, *, log: Path | None = None, seconds: float = READY_SECONDS) -> Bridge:
    """Start a bridge and return when it is ready.

    `log` takes its log; None lets it write to our stderr. A mistake in program.yaml that the bridge finds is raised as
    UserError, everything else that keeps it from getting ready as Unavailable. Call it on the main thread: Linux ends
    the child with the thread that started it.
    """
    binary = find_bridge()
    _refuse_second(options.state)
    _prepare_state(options.state, options.token_file)
    errors = log.open("wb") if log else None
    try:
        process = subprocess.Popen(
            [str(binary), *options.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if log else None,
            stderr=errors,
            process_group=0,  # Ctrl-C comes to us; we drain workers and bridge in order
            preexec_fn=die_with_parent(),
        )
    except OSError as e:
        raise Unavailable(f"{binary} does not run: {e}") from e
    finally:
        if errors:
            errors.close()
    try:
        return Bridge(process, _await_ready(process, options.state, log, seconds), log)
    except BaseException:  # Ctrl-C too
        process.kill()
        process.wait()
        raise


@contextmanager
def running(options: Options, *, log: Path | None = None) -> Iterator[Bridge]:
    """`start`, and `stop` at the end of the block."""
    bridge = start(options, log=log)
    try:
        yield bridge
    finally:
        bridge.stop()


def _await_ready(process: subprocess.Popen[bytes], state: Path, log: Path | None, seconds: float) -> Running:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = discover(state)
        if found and found.pid == process.pid:
            return found
        code = process.poll()
        if code is not None:
            raise _ended_early(code, log)
        time.sleep(0.01)
    raise Unavailable(f"ds-bridge was not ready after {seconds:.0f} s.{_quoted(log)}")


def _ended_early(code: int, log: Path | None) -> Exception:
    words = last_words(log)
    if code == USER_MISTAKE:
        return UserError(words or "ds-bridge refused the program (its message is above)")
    return Unavailable(f"ds-bridge ended with exit code {code} before it was ready.{_quoted(log)}")


def _refuse_second(state: Path) -> None:
    other = discover(state)
    if other:
        raise UserError(
            f"a bridge of this project is running already (pid {other.pid}, {other.wire}). Stop it, or join it with: "
            f"--bridge {other.wire} --token-file {other.token_file}"
        )


def _prepare_state(state: Path, token_file: Path) -> None:
    """Make the folder, readable by the owner alone, and a token that lives as long as this bridge."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    token_file.unlink(missing_ok=True)
    handle = os.open(token_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w") as f:
        f.write(secrets.token_hex(32))


def die_with_parent() -> Callable[[], None] | None:
    """A hook for the child between fork and exec: SIGTERM when the parent dies, however it dies.

    Only Linux has it; elsewhere a CLI that is killed with SIGKILL leaves its bridge behind, which `discover` then reports.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def hook() -> None:
        prctl(1, signal.SIGTERM, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before the call
            os._exit(1)

    return hook


def _executable(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"no ds-bridge at {path} (from DS_BRIDGE)")
    if not os.access(path, os.X_OK):
        raise UserError(f"{path} is not executable. Run: chmod +x {path}")
    return path


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's, but there
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False


def last_words(log: Path | None, lines: int = 12) -> str:
    """The last lines of a log as a person reads them: of JSON lines the message and the error."""
    if log is None or not log.exists():
        return ""
    said = [_readable(line) for line in log.read_text(errors="replace").splitlines()[-lines:]]
    return "\n".join(line for line in said if line)


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line.strip()
    if not isinstance(entry, dict):
        return line.strip()
    rest = {k: v for k, v in entry.items() if k not in ("time", "level", "msg")}
    return " ".join([str(entry.get("msg", "")), *(f"{k}={v}" for k, v in rest.items())]).strip()


def _quoted(log: Path | None) -> str:
    words = last_words(log)
    return f" It said:\n{words}" if words else ""


def _repeated(flag: str, values: Sequence[str]) -> list[str]:
    return [part for value in values for part in (flag, value)]
