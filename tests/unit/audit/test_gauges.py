"""How long nothing came out, and how soon after a kill something did."""

from __future__ import annotations

import pytest

from pyrunner.audit.gauges import longest_stall, percentile, recoveries


def test_the_longest_stall_counts_from_the_beginning() -> None:
    assert longest_stall([5.0, 6.0, 8.5], since=1.0) == 4.0
    assert longest_stall([], since=1.0) == 0.0


@pytest.mark.parametrize(
    ("arrivals", "kills", "found"),
    [
        ([1.0, 2.0, 5.0, 5.5, 6.0], [2.5], [2.5]),
        ([1.0, 2.0, 5.0, 5.5, 9.0], [2.5, 5.6], [2.5, 3.4]),
        ([1.0, 9.0], [2.0, 3.0], [7.0, 6.0]),  # the second came before it had recovered
        ([1.0], [2.0], [0.0]),  # nothing was left to come
        ([1.0, 2.0], [], []),
    ],
)
def test_recovery_is_the_longest_time_without_a_result_behind_a_kill(
    arrivals: list[float], kills: list[float], found: list[float]
) -> None:
    assert recoveries(arrivals, kills) == pytest.approx(found)


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentile([], 0.95) == 0.0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(100)], 0.95) == 95.0
