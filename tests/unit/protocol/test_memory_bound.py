"""T25, T26: hostile frames take neither memory nor time. Measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MIB = 1024 * 1024
SCRIPT = """
import json, resource, sys, time
from pyrunner import plain
from pyrunner.protocol import DecodeError, decode

make, codec = sys.argv[1:]
body = eval(make)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.process_time()
try:
    (decode if codec == "fast" else plain.decode)(body)
    refused = False
except (DecodeError, plain.ProtocolError):
    refused = True
took = time.process_time() - began
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1024 if sys.platform != "darwin" else 1)
print(json.dumps({"refused": refused, "grown": grown, "seconds": took}))
"""

EMPTY = 'b"\\x90" * (16 * 1024 * 1024 - 64)'
HEADER = 'b"\\x9c\\x04\\x01\\x07\\x02\\x01\\x05\\xa1s\\x93\\x00\\x00\\x01"'
HOSTILE = {
    "16 MiB of empty arrays as arguments": f'b"\\x96\\x09\\x01\\xc0\\x00\\xa1a\\xdd\\x00\\xff\\xff\\xc0" + {EMPTY}',
    "16 MiB of empty arrays as an answer": f'b"\\x94\\x0a\\x09\\xc3\\xdd\\x00\\xff\\xff\\xc0" + {EMPTY}',
    "16 MiB of empty arrays as payloads": f'{HEADER} + b"\\xdd\\x00\\xff\\xff\\xc0" + {EMPTY}',
    "16 MiB of empty arrays as a header list": f'{HEADER} + b"\\x91\\xc0\\xc0\\x91\\xdd\\x00\\xff\\xff\\xc0" + {EMPTY} + b"\\xc0"',
    "a header list of 2^32-1": f'{HEADER} + b"\\x91\\xc0\\xc0\\x91\\xdd\\xff\\xff\\xff\\xff"',
    "payloads of 2^32-1": f'{HEADER} + b"\\xdd\\xff\\xff\\xff\\xff"',
    "16 million nested arrays": 'b"\\x96\\x09\\x01\\xc0\\x00\\xa1a" + b"\\x91" * 16_000_000',
    "16 million nested arrays in a header list": f'{HEADER} + b"\\x91\\xc0\\xc0\\x91" + b"\\x91" * 16_000_000',
    "a map of 2^32-1": 'b"\\xdf\\xff\\xff\\xff\\xff"',
}
HOSTILE["16,384 header lists of 1,000 empty names"] = (
    'b"\\x9c\\x04\\x01\\x07\\x02\\x01\\x05\\xa1s\\x93\\x00\\x00\\xcd\\x40\\x00" + b"\\xdc\\x40\\x00" + b"\\xc0" * 16384 + b"\\xc0"'
    ' + b"\\xdc\\x40\\x00" + (b"\\xdc\\x03\\xe8" + b"\\xa0\\xc4\\x00" * 500) * 16384 + b"\\xc0"'
)


@pytest.mark.parametrize("codec", ["fast", "plain"])
@pytest.mark.parametrize("name", HOSTILE)
def test_T25_T26_a_hostile_frame_is_refused_within_bounds(name, codec):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, HOSTILE[name], codec],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    measured = json.loads(done.stdout)
    assert measured["refused"]
    assert measured["grown"] < 32 * MIB
    assert measured["seconds"] < 5
