"""How large a batch may become: what the bridge does with the same words is in bridge_go/program/layers_test.go."""

import pytest

from pyrunner.program.models import Batch

KIB, MIB = 1 << 10, 1 << 20


@pytest.mark.parametrize(
    ("told", "auto", "most"),
    [
        ({}, 256, (256, 256 * KIB)),
        ({"events": "auto", "bytes": "auto"}, 4096, (4096, 4 * MIB)),
        ({"events": "auto", "bytes": "1MiB"}, 1024, (1024, MIB)),
        ({"events": 16}, 4096, (16, 256 * KIB)),
        ({"events": 1024, "bytes": "auto"}, 4096, (1024, MIB)),
        ({"events": 16384}, 4096, (16384, 4 * MIB)),
        ({"events": 512, "bytes": 1000}, 4096, (512, 1000)),
    ],
)
def test_numbers_that_are_written_stay_and_auto_is_what_the_container_bears(
    told: dict[str, object], auto: int, most: tuple[int, int]
) -> None:
    assert Batch.model_validate(told).most(auto) == most
