"""Where the time of one side of a stream goes: what PROFILE.md is written from. Needs Linux perf.

python -m tests.bench.profile bridge|worker [report options of perf]
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile

from .stream import PRELOADED, StreamBench

WARM, REPEAT, SECONDS = 100_000, 400, 4


def main(side: str, options: list[str]) -> None:
    if shutil.which("perf") is None:
        sys.exit("perf is not on the PATH. Debian has it: apt-get install linux-perf")
    with tempfile.NamedTemporaryFile(suffix=".perf") as recorded:
        with StreamBench.cycling(REPEAT) as bench:
            bench.settled(WARM)
            pid = bench.worker() if side == "worker" else bench.bridge.pid
            record = ["perf", "record", "-F", "2000", "-g", "-o", recorded.name, "-p", str(pid)]
            subprocess.run([*record, "--", "sleep", str(SECONDS)], check=True, capture_output=True)
            assert bench.status()["scored"] < REPEAT * PRELOADED, "the stream ended before the recording did"
        report = ["perf", "report", "-i", recorded.name, "-g", "none", "--percent-limit", "0.5"]
        subprocess.run([*report, *(options or ["--no-children", "--sort", "sym"])], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] not in (["bridge"], ["worker"]):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
