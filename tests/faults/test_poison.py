"""Events that kill, hang or raise end as dead letters, alone (T8, T9, T13)."""

from __future__ import annotations

import json
from collections.abc import Callable

from .rig import Rig
from .science import TREACHEROUS, twice

POISONS = {1234, 5678, 42, 4242, 6000, 6001, 9999}


def test_T8_seven_poisons_in_ten_thousand_die_alone(rig: Callable[..., Rig]) -> None:
    pod = rig(TREACHEROUS, model="Treacherous", workers=2, deadline="1s")
    pod.start_bridge()
    pod.start_runner()
    pod.poisons = POISONS
    pod.publish({"id": f"a{n % 7}-{n}", "n": n} for n in range(10_000))

    verdict = pod.wait_settled(seconds=120).audit(twice)

    verdict.require_at_least_once()
    assert (verdict.out, verdict.dead, verdict.duplicates) == (9_993, 7, 0), verdict
    assert verdict.inversions == 0, verdict


def test_T8_a_dead_letter_tells_position_cause_and_attempts(rig: Callable[..., Rig]) -> None:
    pod = rig(TREACHEROUS, model="Treacherous", workers=1, deadline="1s")
    pod.start_bridge()
    pod.start_runner()
    pod.publish({"id": f"a-{n}", "n": n} for n in range(1_200, 1_300))
    pod.wait_settled(seconds=60)

    records, _ = pod.call("tail", "numbers.dead", "", 10, 0)
    (record,) = records
    headers = dict(zip(record[5][::2], (value.decode() for value in record[5][1::2]), strict=True))

    assert json.loads(record[4]) == {"id": "a-1234", "n": 1234}
    assert headers["ds-source"].endswith("/0/35"), headers
    assert "SIGSEGV" in headers["ds-error-reason"], headers
    assert int(headers["ds-attempts"]) >= 3, headers
