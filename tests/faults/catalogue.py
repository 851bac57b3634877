"""The catalogue of faults: what is done to the system, and what must hold. Tests carry the numbers in their names.

    test_T1_T2_kills_of_bridge_and_workers_lose_nothing          in Python
    func TestT25T26HostileFramesCostNothing(t *testing.T)        in Go

ALO is at least once, EO exactly once. The bar of ALO is LOST 0, that of EO is LOST 0 and DUP 0.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TABLE = """
T0a | seeded bug: position committed before the result is produced | the auditor reports LOST > 0
T0b | seeded bug: result applied twice; index off by one; half a batch acknowledged | DUP or WRONG > 0 is reported
T1 | kill -9 the bridge 50 times | ALO or EO bar; duplicates at most in flight x kills; recovery p95
T2 | kill -9 a Python worker 100 times | the same; others go on
T3 | kill -9 the broker 10 times (embedded store, NATS, Kafka), and with both halves | the same
T4 | kill at named steps, each 20 times | LOST 0, DUP as predicted
T5 | SIGSTOP a worker past its deadline, then SIGCONT | the batch goes to another; the late result is dropped and counted
T6 | SIGSTOP the bridge past the session timeout | partitions move; the zombie's commit is refused
T7 | a worker out of memory in mid-batch | as T2, and the log says "out of memory"
T8 | 10 poisons in 100,000 that segfault Python | exactly those are dead-lettered, at most 20 extra calls each
T9 | poison that raises, returns NaN, a wrong type, a wrong length, a wrong index | dead letters are the expected set, neighbours untouched
T10 | a result that the sink refuses (2 MiB against 1 MiB) | dead-lettered, no loop
T11 | the dead-letter sink is down while poison arrives | nothing committed past it; goes on when it is back
T12 | a model slower than the ack wait or the poll limit | 0 redelivered, no rebalance
T13 | a model that hangs holding the GIL | killed at deadline + grace with its stack dumped; lag recovers
T14 | a bridge added or removed every 10 s for two minutes | LOST 0; 0 inversions per key
T15 | the link to the broker: reset, timeout, 10 KB/s, slices, cut after n bytes | memory within its bound, LOST 0
T16 | the same on the link between bridge and Python | reconnect, LOST 0
T17 | every connection dies after 0.5 to 1.5 s, 50 runs | LOST 0
T18 | disk full under the embedded store | loud error, no ack without a store; afterwards LOST 0
T19 | torn write or bit flip in the embedded store while down | detected and loud, or restored; never silent
T21 | the clock jumps an hour during a batch | no mass redelivery, no negative latency
T22 | frame length 0xFFFFFFFF, 0x7FFFFFFF, limit + 1, 0, 1 | closed within 10 ms, < 1 MiB more memory, others unaffected
T23 | 1,000 connections sending a byte a second | closed at their deadline; live p99 + < 10 %
T24 | a million random and mutated frames; fuzzing in both languages | 0 panics, 0 leaks
T25 | nesting 33, 1k, 100k, 16 M; array32, map32, bin32, ext32 at their maximum | refused in < 1 ms, <= 1 MiB
T26 | 16 MiB of empty arrays, both ways | refused by the element budget; Python RSS + < 32 MiB
T27 | invalid UTF-8, surrogates, NUL in a topic, bad map keys, 0xc1, truncated ext, trailing bytes | the same verdict in both languages
T28 | duplicate batch id; result for an unknown or expired batch; result twice; result before its batch | counted and dropped, or closed with a reason; LOST 0, DUP 0
T29 | wrong, missing, replayed token; wrong uid on the Unix socket; no token file | refused; nothing of the token in a log
T30 | version N-1 against N, both ways; future frame types | negotiated or a clean refusal with a sentence
T31 | a peer that sends without credit; a peer that never grants any | closed or bounded
T32 | message at the limit, limit + 1, 64 MiB, 1 byte, empty key and value, 10k headers | byte-exact or dead-lettered; heartbeat p99 < 50 ms meanwhile
T33 | duplicate input ids | as documented; DUP 0 where the sink de-duplicates
T34 | bridge down longer than the de-duplication window | duplicates reported and documented, or 0 with the checkpointed mode
T35 | topic deleted and made again; partitions added; retention passed the committed offset | loud, metric, exit code by option; never a silent skip
T36 | rolling restart under load x20 | LOST 0 and DUP 0 even at least once
T37 | user code prints, forks, starts threads, uses asyncio; closes descriptors | the protocol is unaffected; the last is a death with its cause named, LOST 0
T38 | 200 workers reconnect at once | back-off with jitter, bridge < 1 core
T39 | model replaced during traffic; bad hash; half-written file | the old one serves on; every result carries its model version
T40 | secrets: logs, metrics and dead letters at debug level are searched for a planted token, password, payload | 0 hits
T41 | soak: random faults from the above for hours (minutes in CI) | LOST 0; RSS, descriptors, goroutines flat
T42 | a dependency of the model down for 60 s | the source pauses, nothing is dead-lettered, goes on when it is back
T43 | user code returns rows in another order, merged, dropped, or with a wrong index | refused as a whole; no answer on another's event
T44 | results of a dead bridge's leases reach the restarted one | dropped and counted
T45 | smuggled events: two values in one payload, payloads that join into one | each dead-lettered, no neighbour's answer moves
T46 | the input stream is made again; a second command on the same output; seek and rescore | results appear; nothing vanishes as a duplicate
T47 | worker that cannot load its model | no leases, group left, readiness false, one log line with the cause
T48 | a model that forks a child which outlives it | death seen at once by the parent
T49 | SIGTERM of a server under load of clients that never send twice (HTTP/1.1, h2c, gRPC) | every request that was accepted is answered, rightly
T50 | kill -9 of workers under load over HTTP | every request is answered, rightly
T51 | a row over HTTP that kills, hangs or fills its worker | it fails alone; every other request is answered, rightly
T52 | headers and bodies over HTTP that never end, lists of 10,000 rows beside single ones | cut off or giving way; latency of the innocent and memory within their limits
T53 | clients that leave before they are answered | what they asked for costs no more of Python's time; nothing is left behind
T54 | bodies that grow when they are unpacked | 413 within the limit of memory
T55 | four times as many requests as can be answered, for a minute | goodput as without; 429 at once for the rest
T60 | another version of the model takes over under load over HTTP, the bridge is killed meanwhile | every request is answered, rightly, and by the version that is said
T61 | a version that cannot be loaded, and one that dies of every row, under load over HTTP | nothing changes; no more than its share fails
"""


@dataclass(frozen=True)
class Fault:
    number: str
    fault: str
    holds: str  # what must


def _rows() -> list[Fault]:
    rows = (line.split(" | ") for line in _TABLE.strip().splitlines())
    return [Fault(*row) for row in rows]


CATALOGUE = {fault.number: fault for fault in _rows()}

_PYTHON = re.compile(r"test_((?:T\d+[a-z]?_)+)")
_GO = re.compile(r"Test((?:T\d+[a-z]?(?=[A-Z_]|$))+)")
_NUMBER = re.compile(r"T\d+[a-z]?")


def numbers(test: str) -> list[str]:
    """The numbers in the name of a test of either language, none for one of something else."""
    found = _PYTHON.match(test) or _GO.match(test)
    return _NUMBER.findall(found[1]) if found else []
