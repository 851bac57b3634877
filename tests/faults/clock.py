"""A bridge and workers whose clock jumps an hour at a moment that the test sets: the wall clock alone, as when a person or ntpd sets it.

The bridge is built with another `time.now` in Go's own runtime (`go build -overlay`), so that nothing in it, the embedded store
included, can tell. Python's clock is changed by a `sitecustomize` that its processes find on PYTHONPATH.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

AT, BY = "DS_CLOCK_AT", "DS_CLOCK_BY"  # seconds since 1970 on the real clock, and seconds

_JUMP = """
var clockKnown bool
var clockAt, clockBy int64

func clockSetting(name string) (n int64) {
	text := gogetenv(name)
	minus := len(text) > 0 && text[0] == '-'
	if minus {
		text = text[1:]
	}
	for i := 0; i < len(text); i++ {
		n = n*10 + int64(text[i]-'0')
	}
	if minus {
		n = -n
	}
	return n
}

// jumped is the time that the test wants it to be. Two threads that come first at once find the same.
func jumped(sec int64) int64 {
	if !clockKnown {
		if len(envs) == 0 {
			return sec
		}
		clockAt, clockBy = clockSetting("DS_CLOCK_AT"), clockSetting("DS_CLOCK_BY")
		clockKnown = true
	}
	if clockAt != 0 && sec >= clockAt {
		return sec + clockBy
	}
	return sec
}
"""

SITE = f"""\
import os, time

_at, _by = int(os.environ.get("{AT}", "0")), int(os.environ.get("{BY}", "0"))
_time, _time_ns = time.time, time.time_ns


def _jumped():
    return _by if _at and _time() >= _at else 0


time.time = lambda: _time() + _jumped()
time.time_ns = lambda: _time_ns() + _jumped() * 1_000_000_000
"""


def build(target: Path) -> None:
    """A ds-bridge that obeys AT and BY."""
    root = Path(_go("env", "GOROOT")) / "src" / "runtime"
    folder = target.parent
    changed = {
        # Linux on x86-64 reads the clock in assembly, ...
        "timeasm.go": ("func time_now() (sec int64, nsec int32, mono int64)\n", """\
func time_now() (sec int64, nsec int32, mono int64) {
	sec, nsec, mono = real_now()
	return jumped(sec), nsec, mono
}

//go:linkname real_now time.realnow
func real_now() (sec int64, nsec int32, mono int64)
""" + _JUMP),
        "time_linux_amd64.s": ("time·now<", "time·realnow<"),
        # ... and the others by a function.
        "timestub.go": ("	return sec, nsec, nanotime()\n}\n", "	return jumped(sec), nsec, nanotime()\n}\n" + _JUMP),
    }  # fmt: skip
    overlay = {}
    for name, (old, new) in changed.items():
        text = (root / name).read_text()
        assert old in text, f"Go's {name} reads the clock in another way: tests/faults/clock.py has to follow"
        (folder / name).write_text(text.replace(old, new))
        overlay[str(root / name)] = str(folder / name)
    (folder / "overlay.json").write_text(json.dumps({"Replace": overlay}))
    _go(
        "build", "-buildvcs=false", "-overlay", str(folder / "overlay.json"), "-o", str(target), "./bridge_go/cmd/ds-bridge",
    )  # fmt: skip


def _go(*arguments: str) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "CGO_ENABLED": "0"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()
