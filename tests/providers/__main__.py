"""python -m tests.providers: real servers for programs that are not Python, or for several of them.

    hold NAMES...              starts them, prints one line of JSON, and ends them when standard input ends
    run NAMES... -- COMMAND    starts them, runs COMMAND with DS_PROVIDERS set to a file of that JSON, and ends them
    engine -- COMMAND          runs COMMAND with a container engine, started for it where none answers

While it holds, each line of standard input is a command (`kill kafka`, `restart kafka`, `pause kafka`, `resume kafka`,
`stop kafka`), answered by one line: `ok`, or `error: ` and why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import NAMES, ComponentError, Started, start_all
from .private import under_engine

_VERBS = ("kill", "restart", "pause", "resume", "stop")


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["hold", *names] if names:
            return _hold(names)
        case ["run", *rest] if "--" in rest[1:-1]:
            cut = rest.index("--")
            return _run(rest[:cut], rest[cut + 1 :])
        case ["engine", "--", *command] if command:
            return under_engine(command)
    print(f"{__doc__}\nNAMES: {', '.join(NAMES)}", file=sys.stderr)
    return 2


def _hold(names: Sequence[str]) -> int:
    given = os.environ.get("DS_PROVIDERS")
    if given:
        _say(json.dumps(json.loads(Path(given).read_text())))
        sys.stdin.read()
        return 0
    with start_all(names) as started:
        _say(json.dumps(started.urls()))
        for line in sys.stdin:
            _say(_obey(started, line.split()))
    return 0


def _obey(started: Started, words: Sequence[str]) -> str:
    match words:
        case [verb, name] if verb in _VERBS and name in started.components:
            try:
                getattr(started.components[name], verb)()
            except ComponentError as error:
                return f"error: {' '.join(str(error).split())}"
            return "ok"
    return f"error: {' '.join(words)!r} is not one of {'|'.join(_VERBS)} and {'|'.join(started.components)}"


def _run(names: Sequence[str], command: Sequence[str]) -> int:
    if os.environ.get("DS_PROVIDERS"):
        return subprocess.run(command).returncode
    with start_all(names) as started, tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(started.urls(), file)
        file.flush()
        return subprocess.run(command, env={**os.environ, "DS_PROVIDERS": file.name}).returncode


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ComponentError as error:
        sys.exit(f"tests.providers: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
