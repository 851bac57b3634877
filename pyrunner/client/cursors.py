"""Cursors: places in a stream, over all its partitions.

`0:1024,3:7` names the offset of each partition that is read next; a partition that it does not name begins at its oldest
record. It is the bridge's type (bridge_go/messaging/cursor.go), which answers them; a cursor may be kept.
"""

import re
from collections.abc import Mapping

OLDEST = ""  # before the oldest record that is kept
END = "end"  # behind the newest record; the bridge answers where that is

_CURSOR = re.compile(r"\d+:\d+(,\d+:\d+)*")


def valid(text: str) -> bool:
    """Whether this is a cursor that names offsets."""
    return bool(_CURSOR.fullmatch(text))


def offsets(cursor: str) -> dict[int, int]:
    """The next offset of each partition that the cursor names."""
    pairs = (part.split(":") for part in cursor.split(",") if part)
    return {int(partition): int(offset) for partition, offset in pairs}


def of(following: Mapping[int, int]) -> str:
    """The cursor of the next offset of each partition."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(following.items()))


def reached(cursor: str, end: Mapping[int, int]) -> bool:
    """Whether nothing of what lies before `end` is left to read."""
    here = offsets(cursor)
    return all(here.get(partition, 0) >= offset for partition, offset in end.items())
