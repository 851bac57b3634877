"""What a model's ctx gives: queries, keys, objects, and writes that go with the answers that count."""

from __future__ import annotations

import datetime
import decimal
import hashlib
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pyrunner import Context, Event, Key, Model, Reject, Surroundings
from pyrunner.data import Access, DataError
from pyrunner.data.frames import frame_of
from pyrunner.testing import FakeData, run_model
from pyrunner.testing.run_model import InProcess

RATES = "select carrier, rate from rates where day = :day"


class Departure(Event):
    id: Annotated[str, Key()]
    carrier: str
    delay: int = 0


class Estimate(Event):
    minutes: float


class Enriched(Model[Departure, Estimate]):
    """Reads a feature of each carrier and counts it on."""

    def predict(self, events: list[Departure], *, ctx: Context) -> list[Any]:
        rates = ctx.kv("features").get_many([e.carrier for e in events])
        for e in events:
            ctx.kv("seen").put(e.id, e.carrier)
            if e.delay < 0:
                raise ValueError("negative")
        return [Estimate(minutes=float(rate or 0)) for rate in rates]


class Clocked(Model[Departure, Estimate]):
    def predict_one(self, event: Departure, *, ctx: Context) -> Estimate:
        return Estimate(minutes=ctx.now().timestamp())


def context(data: FakeData, **connections: str) -> Context:
    return Context(access=Access(InProcess(data), connections or None))


# ---- queries


def test_a_query_is_a_frame_whose_dtypes_are_those_of_its_columns() -> None:
    table = pa.table(
        {
            "n": pa.array([1, 2], pa.int32()),
            "f": pa.array([1.5, None]),
            "b": pa.array([True, False]),
            "s": pa.array(["a", None]),
            "t": pa.array([0, 1], pa.timestamp("ns", "UTC")),
            "u": pa.array([0, 1], pa.timestamp("ms")),
            "d": pa.array([datetime.date(2013, 1, 31), None]),
            "x": pa.array([decimal.Decimal("1.50"), None]),
        }
    )
    frame = context(FakeData(sql={"q": table})).read_sql("q", "warehouse")
    assert [str(t) for t in frame.dtypes[:3]] == ["Int64", "float64", "boolean"]
    assert [str(t) for t in frame.dtypes[4:7]] == ["datetime64[us, UTC]", "datetime64[us]", "datetime64[us]"]
    assert frame["x"].iloc[0] == decimal.Decimal("1.50")
    assert frame["d"].iloc[0] == pd.Timestamp("2013-01-31")


def test_a_column_that_cannot_be_null_has_a_plain_dtype() -> None:
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False), pa.field("b", pa.bool_(), nullable=False)])
    frame = frame_of(pa.table({"n": [1], "b": [True]}, schema=schema))
    assert [str(t) for t in frame.dtypes] == ["int64", "bool"]


def test_two_columns_of_one_name_stay_two() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array(["a"])], names=["n", "n"])
    assert frame_of(table).shape == (1, 2)


def test_a_query_without_rows_still_has_its_columns_and_dtypes() -> None:
    empty = pa.table({"n": pa.array([], pa.int64())})
    frame = context(FakeData(sql={"q": empty})).read_sql("q", "warehouse")
    assert list(frame.columns) == ["n"] and str(frame["n"].dtype) == "Int64" and len(frame) == 0


def test_parameters_keep_their_types_on_the_way() -> None:
    given: dict[str, Any] = {}

    def answer(sql: str, params: dict[str, Any]) -> Any:
        given.update(params)
        return [{"n": 1}]

    noon = datetime.datetime(2013, 1, 1, 12, tzinfo=datetime.UTC)
    params = {
        "none": None, "flag": True, "n": np.int64(3), "f": np.float32(0.5), "s": "x", "raw": b"\0", "at": noon,
        "local": datetime.datetime(2013, 1, 1), "day": datetime.date(2013, 1, 31), "price": decimal.Decimal("1.50"),
        "ids": np.array([1, 2]), "when": pd.Timestamp("2013-01-01T12:00Z"), "gone": pd.NaT,
    }  # fmt: skip
    context(FakeData(sql=answer)).read_sql("q", "warehouse", params)
    assert given == {**params, "n": 3, "f": 0.5, "ids": [1, 2], "when": noon, "gone": None}
    assert type(given["n"]) is int and type(given["flag"]) is bool


def test_a_parameter_that_is_no_value_is_named() -> None:
    with pytest.raises(TypeError, match="parameter model: a object is no value"):
        context(FakeData(sql={})).read_sql("q", "warehouse", {"model": object()})


def test_pages_come_one_ahead_and_leaving_early_closes_the_cursor() -> None:
    data = FakeData(sql={"q": {"n": list(range(1_000))}})
    for frame in context(data).iter_sql("q", "warehouse", chunksize=10):
        assert len(frame) == 10
        break
    assert data.open_cursors == 0
    assert data.calls == ["sql.open", "sql.next", "sql.close"]


def test_all_pages_together_are_the_result_and_nothing_is_left_open() -> None:
    data = FakeData(sql={"q": {"n": list(range(1_000))}})
    frames = list(context(data).iter_sql("q", "warehouse", chunksize=300))
    assert [len(f) for f in frames] == [300, 300, 300, 100]
    assert pd.concat(frames)["n"].tolist() == list(range(1_000))
    assert data.open_cursors == 0 and "sql.close" not in data.calls


def test_the_only_database_need_not_be_named() -> None:
    ctx = context(FakeData(sql={"q": [{"n": 1}]}), events="kafka", warehouse="postgres")
    assert ctx.read_sql("q")["n"].tolist() == [1]


def test_which_of_two_databases_is_asked_back() -> None:
    ctx = context(FakeData(sql={"q": [{"n": 1}]}), history="sqlite", warehouse="postgres")
    with pytest.raises(DataError, match=r"which connection\? Write con=NAME.*history, warehouse"):
        ctx.read_sql("q")


def test_an_unknown_connection_is_told_with_the_nearest() -> None:
    with pytest.raises(DataError, match=r"no connection.*warehose.*Did you mean warehouse"):
        context(FakeData(), warehouse="postgres").read_sql("q", "warehose")


def test_a_refused_statement_says_what_the_database_said() -> None:
    with pytest.raises(DataError, match=r"ctx\.read_sql: the test has no rows for") as refused:
        context(FakeData()).read_sql("q", "warehouse")
    assert refused.value.code == "bad_sql" and not refused.value.retry


def test_rows_are_written_in_pages_and_replace_empties_once() -> None:
    data = FakeData()
    rows = context(data).write_sql(pd.DataFrame({"n": range(100_000)}), "t", "warehouse", mode="replace")
    assert rows == 100_000
    assert [(mode, page.num_rows) for _, _, mode, page in data.written] == [
        ("replace", 65_536),
        ("append", 34_464),
    ]


# ---- keys


def test_many_keys_are_one_round_trip_in_the_order_asked() -> None:
    data = FakeData(kv={"features": {"a": b"1", "b": "2"}})
    assert context(data).kv("features").get_many(["b", "x", "a", "b"]) == [b"2", None, b"1", b"2"]
    assert data.calls == ["kv.get"]


def test_values_may_be_json_and_may_die() -> None:
    data = FakeData(kv={"features": {}})
    kv = context(data).kv("features")
    kv.put_json("a", {"n": [1, 2]}, ttl=datetime.timedelta(minutes=1))
    assert kv.get_json("a") == {"n": [1, 2]} and kv.get_json("b") is None
    assert data.ttl["features", "a"] == 60_000
    kv.delete("a")
    assert kv.get("a") is None


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (lambda kv: kv.get(1), "a key is a str, not int"),
        (lambda kv: kv.get_many("abc"), "keys is one str"),
        (lambda kv: kv.put("a", 1), "value of a is a int. Give bytes or str, or use put_json"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_the_fix(act: Any, told: str) -> None:
    with pytest.raises(TypeError, match=told):
        act(context(FakeData(kv={"features": {}})).kv("features"))


# ---- objects


def test_a_large_object_goes_and_comes_in_parts_and_whole(tmp_path: Any) -> None:
    data = FakeData(objects={"models": {}})
    objects = context(data).objects("models")
    payload = np.random.default_rng(1).bytes(9_000_000)
    info = objects.put("a/b", payload)
    assert (info.size, info.sha256) == (len(payload), hashlib.sha256(payload).hexdigest())
    assert data.calls.count("objects.part") == 3
    assert objects.get("a/b") == payload
    assert objects.download("a/b", tmp_path / "b").read_bytes() == payload
    with objects.open("a/b") as file:
        file.seek(-5, 2)
        assert file.read() == payload[-5:]
    assert [o.key for o in objects.list("a/")] == ["a/b"] and objects.exists("a/b")
    objects.delete("a/b")
    assert not objects.exists("a/b")


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Any) -> None:
    payload = np.random.default_rng(2).bytes(9_000_000)
    data = FakeData(objects={"models": {"m": payload}})
    objects = context(data).objects("models")
    mark = hashlib.sha256(payload).hexdigest()[:16]
    (tmp_path / f".m.{mark}.partial").write_bytes(payload[:8_500_000])
    got: list[int] = []
    assert objects.download("m", tmp_path / "m", on_bytes=got.append).read_bytes() == payload
    assert got == [500_000] and [p.name for p in tmp_path.iterdir()] == ["m"]


def test_a_beginning_of_what_has_no_hash_is_not_gone_on_with(tmp_path: Any) -> None:
    """It may be another object's, of the same size, and nothing would tell."""
    data = FakeData(objects={"models": {"m": b"x" * 100}})
    answer = data.answer
    data.answer = lambda method, args, lease=None: (  # type: ignore[method-assign]
        [100, None] if method == "objects.head" else answer(method, args, lease)
    )
    (tmp_path / ".m.100.partial").write_bytes(b"y" * 50)
    assert context(data).objects("models").download("m", tmp_path / "m").read_bytes() == b"x" * 100


def test_a_damaged_beginning_is_refused_and_not_gone_on_with_for_ever(tmp_path: Any) -> None:
    payload = b"x" * 100
    objects = context(FakeData(objects={"models": {"m": payload}})).objects("models")
    mark = hashlib.sha256(payload).hexdigest()[:16]
    (tmp_path / f".m.{mark}.partial").write_bytes(b"y" * 50)
    with pytest.raises(DataError, match="m is damaged") as damaged:
        objects.download("m", tmp_path / "m")
    assert damaged.value.code == "damaged" and not (tmp_path / "m").exists()
    assert objects.download("m", tmp_path / "m").read_bytes() == payload


def test_a_failed_upload_leaves_nothing_behind() -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError("the disk is gone")

    data = FakeData(objects={"models": {}})
    with pytest.raises(OSError, match="the disk is gone"):
        context(data).objects("models").put("m", Broken())  # type: ignore[arg-type]
    assert data.calls == ["objects.begin", "objects.abort"]


def test_an_object_that_is_to_be_new_is_refused_where_there_is_one() -> None:
    objects = context(FakeData(objects={"models": {}})).objects("models")
    assert objects.put("m", b"first", new=True).size == 5
    with pytest.raises(DataError, match="there is an object m already") as refused:
        objects.put("m", b"second", new=True)
    assert refused.value.code == "exists" and objects.get("m") == b"first"


def test_an_object_that_is_not_there_is_not_found() -> None:
    with pytest.raises(DataError, match=r'ctx\.objects\("models"\): no object m') as refused:
        context(FakeData(objects={"models": {}})).objects("models").get("m")
    assert refused.value.code == "not_found"


# ---- in predict


def test_reads_and_writes_of_predict_go_with_the_answers() -> None:
    features, seen = {"UA": b"1.5"}, dict[str, Any]()
    events = [{"id": "1", "carrier": "UA"}, {"id": "2", "carrier": "DL"}]
    answers = run_model(Enriched(), events, kv={"features": features, "seen": seen})
    assert [a.output["minutes"] for a in answers] == [1.5, 0.0]
    assert seen == {"1": b"UA", "2": b"DL"}


def test_a_try_that_raised_leaves_no_write_and_the_others_write_once() -> None:
    data = FakeData(kv={"features": {}, "seen": {}})
    events = [{"id": str(n), "carrier": "UA", "delay": -1 if n == 5 else 0} for n in range(8)]
    answers = run_model(Enriched(), events, data=data)
    assert [a.code for a in answers] == [None] * 5 + ["exception"] + [None] * 2
    assert sorted(data.kv["seen"]) == ["0", "1", "2", "3", "4", "6", "7"]
    assert data.calls.count("stage") == 1


def test_halves_that_pass_and_are_refused_together_write_nothing() -> None:
    class Merging(Model[Departure, Estimate]):
        def predict(self, events: list[Departure], *, ctx: Context) -> list[Any]:
            ctx.kv("seen").put_many({e.id: b"" for e in events})
            return [Estimate(minutes=1.0)] * min(len(events), 2)

    data = FakeData(kv={"seen": {}})
    answers = run_model(Merging(), [{"id": str(n), "carrier": "UA"} for n in range(4)], data=data)
    assert [a.code for a in answers] == ["wrong_count"] * 4
    assert data.kv["seen"] == {}


def test_of_predict_one_only_the_events_with_an_answer_write() -> None:
    class Single(Model[Departure, Estimate]):
        def predict_one(self, event: Departure, *, ctx: Context) -> Any:
            ctx.publish("log", {"id": event.id}, key=event.id)
            if event.delay == 1:
                raise ValueError("one")
            if event.delay == 2:
                return Reject("two")
            if event.delay == 3:
                return Reject("three", retry=True)
            return Estimate(minutes="none") if event.delay == 4 else Estimate(minutes=0.0)  # type: ignore[arg-type]

    data = FakeData()
    run_model(Single(), [{"id": str(n), "carrier": "UA", "delay": n} for n in range(5)], data=data)
    assert [key for _, key, _ in data.published["log"]] == [b"0", b"2"]


def test_writes_of_a_batch_with_broken_payloads_belong_to_the_right_rows() -> None:
    data = FakeData(kv={"features": {}, "seen": {}})
    run_model(
        Enriched(), [b"{", {"id": "1", "carrier": "UA", "delay": -1}, {"id": "2", "carrier": "UA"}], data=data
    )
    assert list(data.kv["seen"]) == ["2"]


def test_predict_sees_what_it_has_written_itself() -> None:
    class Counting(Model[Departure, Estimate]):
        def predict(self, events: list[Departure], *, ctx: Context) -> list[Any]:
            kv = ctx.kv("counts")
            for e in events:
                kv.put_json(e.carrier, (kv.get_json(e.carrier) or 0) + 1)
            return [Estimate(minutes=kv.get_json(e.carrier)) for e in events]

    counts = {"UA": b"40"}
    run_model(Counting(), [{"id": "1", "carrier": "UA"}, {"id": "2", "carrier": "UA"}], kv={"counts": counts})
    assert counts == {"UA": b"42"}


def test_an_outage_gives_the_batch_back_and_blames_no_event() -> None:
    data = FakeData(kv={"features": {}, "seen": {}})
    data.outage = True
    with pytest.raises(Surroundings, match="cannot be reached") as back:
        run_model(Enriched(), [{"id": "1", "carrier": "UA"}], data=data)
    assert back.value.code == "unavailable"


def test_a_statement_that_the_database_refuses_is_the_events_failure() -> None:
    class Asking(Model[Departure, Estimate]):
        def predict(self, events: list[Departure], *, ctx: Context) -> list[Any]:
            ctx.read_sql("select nothing", "warehouse")
            return []

    (answer,) = run_model(Asking(), [{"id": "1", "carrier": "UA"}])
    assert answer.code == "exception" and "DataError: ctx.read_sql" in answer.error[2]  # type: ignore[index]


@pytest.mark.parametrize(
    "act",
    [
        lambda ctx: ctx.execute_sql("delete from t", "warehouse"),
        lambda ctx: ctx.write_sql({"n": [1]}, "t", "warehouse"),
        lambda ctx: ctx.objects("models").delete("m"),
        lambda ctx: ctx.objects("models").put("m", b"x" * 5_000_000),
    ],
)
def test_what_cannot_wait_for_the_answers_is_refused_in_predict(act: Any) -> None:
    class Acting(Model[Departure, Estimate]):
        def predict(self, events: list[Departure], *, ctx: Context) -> list[Any]:
            act(ctx)
            return [Estimate(minutes=0.0)] * len(events)

    (answer,) = run_model(Acting(), [{"id": "1", "carrier": "UA"}], objects={"models": {}})
    assert answer.code == "exception" and "is not for predict" in answer.error[2]  # type: ignore[index]


def test_an_event_is_published_under_its_own_key() -> None:
    data = FakeData()
    ctx = context(data)
    ctx.publish("departures", Departure(id="7", carrier="UA"), headers={"from": "test"})
    ctx.publish_many("departures", [{"n": 1}, b"raw"], keys=["a", None])
    assert data.published["departures"] == [
        (b'{"id":"7","carrier":"UA","delay":0}', b"7", ["from", b"test"]),
        (b'{"n":1}', b"a", []),
        (b"raw", None, []),
    ]


def test_without_a_bridge_it_says_what_to_do() -> None:
    with pytest.raises(DataError, match=r"run_model\(model, events, sql=.*pyrunner.connect"):
        Context().read_sql("select 1", "warehouse")


# ---- the time


def test_the_time_is_asked_for_once_a_batch_and_the_same_for_all_of_its_events() -> None:
    data = FakeData()
    events = [{"id": str(n), "carrier": "UA"} for n in range(6)]
    times = [answer.output["minutes"] for answer in run_model(Clocked(), events, batch=3, data=data)]
    assert times[:3] == [times[0]] * 3
    assert times[3:] == [times[3]] * 3
    assert times[0] < times[3]
    assert data.calls.count("clock") == 2


def test_a_test_may_say_what_time_it_is() -> None:
    noon = datetime.datetime(2026, 11, 21, 12, 0, 0, 123456, datetime.UTC)
    (answer,) = run_model(Clocked(), [{"id": "1", "carrier": "UA"}], now=noon)
    assert answer.output == {"minutes": noon.timestamp()}


def test_outside_of_a_batch_the_time_is_this_machines() -> None:
    before = datetime.datetime.now(datetime.UTC)
    assert before <= Context().now() <= datetime.datetime.now(datetime.UTC)
