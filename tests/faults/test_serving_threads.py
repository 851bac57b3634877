"""Workers that score batches beside each other: they do, and a death takes nobody's answer along (T50, T51)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .science import HEADER
from .service import Posted, Service

Services = Callable[..., Service]
AT_ONCE = 8
DIE = -1

# Rests, as a call of another service would take, and answers how many calls there were at a time at most.
COUNTING = (
    HEADER
    + """
import ctypes
import threading

HERE, PEAK, LOCK = [], [0], threading.Lock()


class Counting(Model[Number, Answer]):
    def predict(self, events: list[Number]) -> list[Answer]:
        with LOCK:
            HERE.append(1)
            PEAK[0] = max(PEAK[0], len(HERE))
        time.sleep(0.5)
        if any(e.n == -1 for e in events):
            ctypes.string_at(0)
        with LOCK:
            HERE.pop()
            return [Answer(id=e.id, value=1000.0 * len(events) + PEAK[0]) for e in events]
"""
)


def row(n: int) -> dict[str, object]:
    return {"id": f"a-{n}", "n": n}


@pytest.mark.parametrize(("concurrency", "fewest", "most"), [(AT_ONCE, AT_ONCE // 2, AT_ONCE), (1, 1, 1)])
def test_T50_a_model_that_waits_has_as_many_calls_at_a_time_as_it_says(
    service: Services, concurrency: int, fewest: int, most: int
) -> None:
    keys = f", concurrency: {concurrency}, batch: {{events: 1}}, request_timeout: 120s"
    pod = service(COUNTING, model="Counting", workers=1, keys=keys).start()
    posted = [Posted(pod, row(n), seconds=120) for n in range(concurrency * AT_ONCE)]
    answers = [post.answer() for post in posted]
    assert {status for status, _ in answers} == {200}
    assert all(said["value"] // 1000 == 1 for _, said in answers), "a batch of more than one row"
    peak = max(said["value"] % 1000 for _, said in answers)
    assert fewest <= peak <= most


def test_T51_a_row_that_kills_leaves_the_batches_beside_it_their_answers(service: Services) -> None:
    keys = f", concurrency: {AT_ONCE}, batch: {{events: 1}}, request_timeout: 120s"
    pod = service(COUNTING, model="Counting", workers=1, keys=keys).start()
    posted = [Posted(pod, row(DIE if n == 3 else n), seconds=120) for n in range(AT_ONCE)]
    answers = [post.answer() for post in posted]
    print(answers)
    assert [status for status, _ in answers] == [500 if n == 3 else 200 for n in range(AT_ONCE)]
