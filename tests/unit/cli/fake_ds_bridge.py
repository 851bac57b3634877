"""Stands in for the binary where only its life as a process matters: discovery file, token, exit codes, signals.

What it does is named by DS_FAKE: `ready` (the default), `mistake`, `crash`, `never`.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> int:
    if sys.argv[1:] == ["version"]:
        print("ds-bridge 9.9.9")
        return 0
    flags = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=False))
    state = Path(flags["--state"])
    (state / "arguments.json").write_text(json.dumps(sys.argv[1:]))
    behaviour = os.environ.get("DS_FAKE", "ready")
    if behaviour == "mistake":
        print('program.yaml:14:7 commands.score-stream.input: no stream "departure".', file=sys.stderr)
        return 2
    if behaviour == "crash":
        print(
            json.dumps({"level": "ERROR", "msg": "cannot listen", "error": "address in use"}), file=sys.stderr
        )
        return 1
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    if behaviour == "ready":
        found = {"pid": os.getpid(), "wire": "tcp://127.0.0.1:7400", "token_file": flags["--token-file"]}
        partial = state / "bridge.json.new"
        partial.write_text(
            json.dumps({**found, "http": flags.get("--http", ""), "metrics": "", "version": "9.9.9"})
        )
        partial.rename(state / "bridge.json")
    while not stopped:
        time.sleep(0.01)
    (state / "bridge.json").unlink(missing_ok=True)
    (state / "drained").touch()
    return 0


sys.exit(main())
