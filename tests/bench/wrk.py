"""wrk, the load generator of closed loops: each connection asks again as soon as it is answered."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

MISSING = "wrk is not on the PATH, so no HTTP row is measured. Debian and Ubuntu have it: apt-get install wrk"
CONNECTIONS = 64
SCRIPT = """\
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = [==[{body}]==]
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw: requests answered, a second's worth of them, and latencies."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float


def found() -> bool:
    return shutil.which("wrk") is not None


def load(url: str, body: str, seconds: int, connections: int = CONNECTIONS) -> Load:
    """Post as fast as the connections can. An answer that is no 2xx or a lost connection is an error."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(SCRIPT.format(body=body))
        script.flush()
        said = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s", "--latency", "-s", script.name, url],
            capture_output=True, text=True, check=True, timeout=seconds + 60,
        ).stdout  # fmt: skip
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk on {url}:\n{said}")
    return Load(
        requests=int(_figure(r"(\d+) requests in", said)[0]),
        rate=float(_figure(r"Requests/sec:\s+([\d.]+)", said)[0]),
        p50_ms=_ms(*_figure(r"50%\s+([\d.]+)(us|ms|s)\b", said)),
        p99_ms=_ms(*_figure(r"99%\s+([\d.]+)(us|ms|s)\b", said)),
    )


def _figure(pattern: str, said: str) -> tuple[str, ...]:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(f"wrk said something else:\n{said}")
    return found.groups()


def _ms(figure: str, unit: str) -> float:
    return float(figure) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[unit]
