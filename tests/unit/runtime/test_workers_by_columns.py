"""A real worker process behind a bridge that speaks columns: what it answers, gives back, and refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyrunner.columns.through import BridgeSide
from pyrunner.protocol import Columns, codec
from pyrunner.protocol.frames import MAX_FRAME
from pyrunner.signature import read_signature
from pyrunner.testing import FakeBridge
from tests.unit.runtime.project import project, running

MODEL = """\
import numpy as np
from pyrunner import Context, Event, Model


class Number(Event):
    x: int
    name: str | None = None


class Double(Event):
    y: int
    note: str | None = None


class Doubler(Model[Number, Double]):
    kept = None

    def predict(self, numbers: dict[str, np.ndarray], *, ctx: Context) -> dict[str, np.ndarray]:
        if (numbers["name"] == "crowd").any():
            raise MemoryError("no room")
        if (numbers["name"] == "boom").any():
            raise ValueError("boom")
        ctx.reject(numbers["x"] < 0, "negative")
        if Doubler.kept is not None:
            Doubler.kept *= 7
        Doubler.kept = numbers["x"]
        numbers["x"] *= 2
        long = np.array(["n" * 400 if name == "large" else None for name in numbers["name"]], dtype=object)
        return {"y": numbers["x"], "note": long}
"""


def side() -> BridgeSide:
    names: dict[str, Any] = {"__name__": "doubler_of_a_test"}
    exec(MODEL, names)
    return BridgeSide(read_signature(names["Doubler"]))


def number(x: int, name: str | None = None) -> bytes:
    return json.dumps({"x": x, "name": name} if name else {"x": x}).encode()


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    with project(tmp_path, MODEL) as path:
        yield path


def test_the_same_answers_from_a_bridge_with_and_without_columns(program: Path) -> None:
    payloads = [number(x, ["a", None][x % 2]) if x % 5 else number(-x - 1) for x in range(300)]
    payloads[17:20] = [b"{", None, b'{"x": 1.5}']
    payloads[40] = number(4, "boom")
    found = []
    for columns in (None, side()):
        with FakeBridge(stream="numbers", batch=64, columns=columns) as bridge, running(program, bridge):
            ids = bridge.give(payloads)
            answers = bridge.answers(300)
            found.append([answers[i] for i in ids])
            (hello,) = bridge.wait_ready()
            assert hello.wants == 8
            assert b'"columns"' in hello.describe
            assert bridge.by_columns == (0 if columns is None else 4)  # of five: one has a row that raises
    assert found[0] == found[1]


def test_a_batch_of_columns_that_the_surroundings_fail_goes_back(program: Path) -> None:
    with FakeBridge(stream="numbers", columns=side()) as bridge, running(program, bridge):
        bridge.give([number(1, "crowd"), number(2)])
        bridge.wait_for(lambda: bool(bridge.returns))
        assert bridge.returns[0].code == "out_of_memory"


def test_an_answer_over_the_frame_limit_goes_as_lines(program: Path) -> None:
    with FakeBridge(stream="numbers", batch=1000, max_frame=64 * 1024, columns=side()) as bridge:
        ids = bridge.give([number(x, "large") for x in range(1000)])
        with running(program, bridge):
            answers = bridge.answers(1000)
            found = [json.loads(answers[i].outputs[0]) for i in ids]
            assert found == [{"y": 2 * x, "note": "n" * 400} for x in range(1000)]
            assert bridge.by_columns == 0


KEYED = """\
import numpy as np
from pyrunner import Context, Event, Model


class Number(Event):
    x: int


class Double(Event):
    y: str


class Doubler(Model[Number, Double]):
    metadata = ("keys", "headers", "timestamps")

    def predict(self, numbers: dict[str, np.ndarray], *, ctx: Context) -> dict[str, np.ndarray]:
        assert (ctx.headers, ctx.timestamps) == ([[]] * ctx.n, [0] * ctx.n)
        told = [f"{key.decode()} {id}" for key, id in zip(ctx.keys, ctx.ids, strict=True)]
        return {"y": np.array(told, dtype=object)}
"""


def test_keys_and_ids_are_those_of_the_rows_with_misfits_among_them(tmp_path: Path) -> None:
    names: dict[str, Any] = {"__name__": "doubler_of_a_test"}
    exec(KEYED, names)
    bridge_side = BridgeSide(read_signature(names["Doubler"]))
    with project(tmp_path, KEYED) as program, FakeBridge(stream="numbers", columns=bridge_side) as bridge:
        ids = bridge.give([b"{", b'{"x": 1}', None, b'{"x": 2}'], keys=[b"a", b"b", b"c", b"d"])
        with running(program, bridge):
            answers = [bridge.answers(4)[i] for i in ids]
            assert bridge.wait_ready()[0].wants == 15
    assert [json.loads(a.outputs[0])["y"] if a.outputs else a.error[1] for a in answers if a.error or a.outputs] == [
        "invalid_event", "b numbers/0/1", "null_value", "d numbers/0/3"
    ]  # fmt: skip
    assert bridge.by_columns == 1


class _Wrong(BridgeSide):
    """Sends columns of another class than the worker's."""

    def columns(self, batch: Any) -> Columns | None:
        frame = super().columns(batch)
        assert frame is not None
        frame.layout = frame.layout[:10]
        return codec.decode(codec.encode_aligned(frame, MAX_FRAME)[4:], 1)  # type: ignore[return-value]


def test_columns_of_another_class_end_the_connection_by_name(program: Path) -> None:
    names: dict[str, Any] = {"__name__": "doubler_of_a_test"}
    exec(MODEL, names)
    with (
        FakeBridge(stream="numbers", columns=_Wrong(read_signature(names["Doubler"]))) as bridge,
        running(program, bridge),
    ):
        bridge.give([number(1)])
        bridge.wait_for(lambda: bool(bridge.byes))
        assert (bridge.byes[0].code, bridge.byes[0].reason) == (1, "COLUMNS.layout: 10 numbers for 2 fields")
