"""What Triton's clients ask of ds-runner: tritonclient.http, http.aio, grpc and grpc.aio. It runs in their environment:

    python triton.py READINGS_HTTP READINGS_GRPC POINTS_HTTP POINTS_GRPC

docs/open-inference.md names these checks.
"""

from __future__ import annotations

import asyncio
import json
import queue
from typing import Any

import numpy as np
import tritonclient.grpc as triton_grpc
import tritonclient.grpc.aio as triton_grpc_aio
import tritonclient.http as triton_http
import tritonclient.http.aio as triton_http_aio
from harness import AT, run
from tritonclient.utils import InferenceServerException

FIELDS = ["sensor", "value", "limit", "count", "night", "kind", "at", "price", "place", "tags"]


# --- what is asked, by either client ----------------------------------------------------------------------------------


def tensor(client: Any, name: str, values: Any, datatype: str, **how: Any) -> Any:
    kinds = {"BYTES": np.object_, "BOOL": bool, "FP64": np.float64, "FP32": np.float32, "FP16": np.float16}
    kinds |= {"INT64": np.int64, "INT32": np.int32, "INT8": np.int8, "UINT8": np.uint8, "UINT16": np.uint16}
    array = np.array(values, dtype=kinds[datatype])
    made = client.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, **how)
    return made


def three_readings(client: Any, **how: Any) -> list[Any]:
    return [
        tensor(client, "sensor", ["a", "b", "ü"], "BYTES", **how),
        tensor(client, "value", [1.5, -2, 0.1], "FP64", **how),
        tensor(client, "count", [1, 2, 3], "INT32", **how),
        tensor(client, "night", [True, False, True], "BOOL", **how),
    ]


def answers_to_three(result: Any) -> None:
    assert texts(result, "sensor") == ["a", "b", "ü"], result.as_numpy("sensor")
    np.testing.assert_array_equal(result.as_numpy("double"), [3, -4, 0.2])
    np.testing.assert_array_equal(result.as_numpy("count"), [1, 2, 3])
    np.testing.assert_array_equal(result.as_numpy("night"), [True, False, True])
    assert result.as_numpy("double").dtype == np.float64
    assert result.as_numpy("count").dtype == np.int64
    assert texts(result, "kind") == ["a"] * 3
    assert texts(result, "price") == ["1.5"] * 3
    assert not result.as_numpy("over__valid").any()
    assert texts(result, "tags") == ["[]"] * 3


def texts(result: Any, name: str) -> list[str]:
    return [v.decode() if isinstance(v, bytes) else v for v in result.as_numpy(name).flatten()]


def every_kind(client: Any, **how: Any) -> list[Any]:
    """One row with a value in every field, each as the tensors of its kind are."""
    return [
        tensor(client, "sensor", [["a"]], "BYTES", **how),
        tensor(client, "value", [[2]], "FP32", **how),
        tensor(client, "limit", [1.5], "FP64", **how),
        tensor(client, "count", [255], "UINT8", **how),
        tensor(client, "night", [True], "BOOL", **how),
        tensor(client, "kind", ["b"], "BYTES", **how),
        tensor(client, "at", ["2026-01-02T03:04:05+01:00"], "BYTES", **how),
        tensor(client, "price", ["1.10"], "BYTES", **how),
        tensor(client, "place", ['{"city": "Ulm", "floor": 2}'], "BYTES", **how),
        tensor(client, "tags", ['["x", "y"]'], "BYTES", **how),
    ]


def answers_to_every_kind(result: Any) -> None:
    assert result.as_numpy("double").tolist() == [4.0]
    assert result.as_numpy("over").tolist() == [0.5]
    assert result.as_numpy("over__valid").tolist() == [True]
    assert result.as_numpy("count").tolist() == [255]
    assert texts(result, "kind") == ["b"]
    assert texts(result, "price") == ["1.10"]
    assert texts(result, "at")[0].startswith("2026-01-02T0"), texts(result, "at")
    assert json.loads(texts(result, "place")[0]) == {"city": "Ulm", "floor": 2}
    assert json.loads(texts(result, "tags")[0]) == ["x", "y"]


def refused(do: Any, *words: str) -> InferenceServerException:
    try:
        got = do()
    except InferenceServerException as problem:
        assert all(word in str(problem) for word in words), problem
        return problem
    raise AssertionError(f"not refused: {got}")


def outputs(client: Any, *names: str, **how: Any) -> list[Any]:
    return [client.InferRequestedOutput(name, **how) for name in names]


def rows_that_fail(client: Any, **how: Any) -> list[Any]:
    events = [
        '{"sensor": "a", "value": 1}',
        '{"sensor": "broken", "value": 1}',
        '{"sensor": "c", "value": "x"}',
        "no",
    ]
    return [tensor(client, "event", events, "BYTES", **how)]


def errors_of_rows(result: Any) -> None:
    errors = texts(result, "error")
    assert errors[0] == ""
    assert json.loads(errors[1]) == {"rejected": "a broken sensor"}
    assert json.loads(errors[2])["errors"][0]["field"] == "value", errors[2]
    assert json.loads(errors[3]), errors[3]
    assert result.as_numpy("double")[0] == 2


# --- tritonclient.http ------------------------------------------------------------------------------------------------


def http() -> Any:
    return triton_http.InferenceServerClient(AT.readings_http)


def http_health_and_metadata() -> None:
    client = http()
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("readings")
    assert not client.is_model_ready("others")
    server = client.get_server_metadata()
    assert server["name"] == "ds-runner"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("readings")
    inputs = {t["name"]: t["datatype"] for t in model["inputs"]}
    assert [name for name in FIELDS if name not in inputs] == []
    assert inputs["value"] == "FP64"
    assert inputs["limit__valid"] == "BOOL"
    assert inputs["at"] == inputs["price"] == inputs["place"] == inputs["event"] == "BYTES"
    [version] = model["versions"]
    assert client.is_model_ready("readings", version)
    answers_to_three(client.infer("readings", three_readings(triton_http), model_version=version))


def http_binary() -> None:
    result = http().infer("readings", three_readings(triton_http), request_id="r1")
    answers_to_three(result)
    assert result.get_response()["id"] == "r1"
    assert all("binary_data_size" in o["parameters"] for o in result.get_response()["outputs"])


def http_json() -> None:
    names = ["sensor", "double", "count", "night", "kind", "price", "over", "over__valid", "tags"]
    asked = outputs(triton_http, *names, binary_data=False)
    answers_to_three(http().infer("readings", three_readings(triton_http, binary_data=False), outputs=asked))


def http_json_and_binary_in_one() -> None:
    inputs = three_readings(triton_http)
    inputs[1] = tensor(triton_http, "value", [1.5, -2, 0.1], "FP64", binary_data=False)
    asked = outputs(triton_http, "sensor", binary_data=False) + outputs(triton_http, "double")
    result = http().infer("readings", inputs, outputs=asked)
    assert [o["name"] for o in result.get_response()["outputs"]] == ["sensor", "double"]
    assert texts(result, "sensor") == ["a", "b", "ü"]
    assert result.as_numpy("double").tolist() == [3, -4, 0.2]


def http_every_kind() -> None:
    answers_to_every_kind(http().infer("readings", every_kind(triton_http)))


def http_nulls() -> None:
    inputs = [
        tensor(triton_http, "sensor", ["a", "b"], "BYTES"),
        tensor(triton_http, "value", [1, 2], "FP64"),
        tensor(triton_http, "limit", [0.5, np.nan], "FP64"),
        tensor(triton_http, "at", ["2026-01-02T03:04:05Z", ""], "BYTES"),
        tensor(triton_http, "at__valid", [True, False], "BOOL"),
    ]
    result = http().infer("readings", inputs)
    assert result.as_numpy("over__valid").tolist() == [True, False]
    over = result.as_numpy("over")
    assert over[0] == 0.5
    assert np.isnan(over[1])
    assert result.as_numpy("at__valid").tolist() == [True, False]


def http_whole_events() -> None:
    inputs = [
        tensor(triton_http, "event", ['{"sensor": "a", "value": 2, "place": {"city": "Ulm"}}'], "BYTES")
    ]
    result = http().infer("readings", inputs, outputs=outputs(triton_http, "event"))
    [event] = texts(result, "event")
    assert json.loads(event)["double"] == 4
    assert json.loads(event)["place"] == {"city": "Ulm", "floor": 0}


def http_errors_by_row() -> None:
    asked = outputs(triton_http, "double", "error")
    errors_of_rows(http().infer("readings", rows_that_fail(triton_http), outputs=asked))
    refused(
        lambda: http().infer("readings", rows_that_fail(triton_http)),
        "row 1: a broken sensor",
        "row 2:",
        "row 3:",
    )


def http_refusals() -> None:
    good = three_readings(triton_http)
    refused(lambda: http().infer("others", good), "no model others")
    refused(lambda: http().infer("readings", good, model_version="999"), "version 999 is not loaded")
    refused(
        lambda: http().infer("readings", [*good[:1], tensor(triton_http, "speed", [1] * 3, "FP64")]),
        "no field speed",
    )
    refused(lambda: http().infer("readings", good, sequence_id=7), "keeps no state")
    refused(lambda: http().infer("readings", good, outputs=outputs(triton_http, "speed")), "no output speed")
    asked = [triton_http.InferRequestedOutput("kind", class_count=2)]
    refused(lambda: http().infer("readings", good, outputs=asked), "classification")


def http_timeout() -> None:
    slow = [tensor(triton_http, "event", ['{"sensor": "slow", "value": 1}'], "BYTES")]
    problem = refused(lambda: http().infer("readings", slow, timeout=50_000), "did not answer in time")
    assert problem.status() == "504", problem.status()


def http_compressed() -> None:
    for algorithm in "gzip", "deflate":
        result = http().infer(
            "readings", three_readings(triton_http), request_compression_algorithm=algorithm,
            response_compression_algorithm="gzip",
        )  # fmt: skip
        answers_to_three(result)


def http_async() -> None:
    client = triton_http.InferenceServerClient(AT.readings_http, concurrency=4)
    for asked in [client.async_infer("readings", three_readings(triton_http)) for _ in range(20)]:
        answers_to_three(asked.get_result())


def http_one_tensor_of_numbers() -> None:
    client = triton_http.InferenceServerClient(AT.points_http)
    for how in {"binary_data": True}, {"binary_data": False}:
        inputs = [tensor(triton_http, "input-0", [[1.5, 2, 3], [4, 0, 6]], "FP32", **how)]
        result = client.infer("points", inputs)
        assert result.as_numpy("total").tolist() == [3.5, 4]
        assert result.as_numpy("n").tolist() == [3, 6]
    result = client.infer("points", [tensor(triton_http, "x", [[1.5, np.nan, 3]], "FP64")])
    assert result.as_numpy("total").tolist() == [1.5]
    part = tensor(triton_http, "input-0", [[1, 2, 3.5]], "FP64")
    refused(lambda: client.infer("points", [part]), "row 0", "3.5")


def http_aio() -> None:
    async def ask() -> None:
        async with triton_http_aio.InferenceServerClient(AT.readings_http) as client:
            assert await client.is_server_ready()
            assert (await client.get_model_metadata("readings"))["name"] == "readings"
            asked = [client.infer("readings", three_readings(triton_http_aio)) for _ in range(20)]
            for result in await asyncio.gather(*asked):
                answers_to_three(result)
            answers_to_every_kind(await client.infer("readings", every_kind(triton_http_aio)))

    asyncio.run(ask())


# --- tritonclient.grpc ------------------------------------------------------------------------------------------------


def rpc() -> Any:
    return triton_grpc.InferenceServerClient(AT.readings_grpc)


def grpc_health_and_metadata() -> None:
    client = rpc()
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("readings")
    server = client.get_server_metadata(as_json=True)
    assert server["name"] == "ds-runner"
    model = client.get_model_metadata("readings")
    assert [name for name in FIELDS if name not in [t.name for t in model.inputs]] == []
    assert client.is_model_ready("readings", model.versions[0])


def grpc_raw() -> None:
    result = rpc().infer("readings", three_readings(triton_grpc), request_id="r1")
    answers_to_three(result)
    assert result.get_response().id == "r1"
    assert result.get_response().raw_output_contents


def grpc_every_kind() -> None:
    answers_to_every_kind(rpc().infer("readings", every_kind(triton_grpc)))


def grpc_errors_by_row() -> None:
    asked = outputs(triton_grpc, "double", "error")
    errors_of_rows(rpc().infer("readings", rows_that_fail(triton_grpc), outputs=asked))
    problem = refused(lambda: rpc().infer("readings", rows_that_fail(triton_grpc)), "row 1: a broken sensor")
    assert problem.status() == "StatusCode.INVALID_ARGUMENT", problem.status()


def grpc_refusals() -> None:
    problem = refused(lambda: rpc().infer("others", three_readings(triton_grpc)), "no model others")
    assert problem.status() == "StatusCode.NOT_FOUND", problem.status()
    large = [
        tensor(triton_grpc, "sensor", ["x" * (1 << 20)], "BYTES"),
        tensor(triton_grpc, "value", [1], "FP64"),
    ]
    assert refused(lambda: rpc().infer("readings", large)).status() == "StatusCode.RESOURCE_EXHAUSTED"
    refused(lambda: rpc().get_model_config("readings"), "unknown method ModelConfig")


def grpc_compressed() -> None:
    answers_to_three(rpc().infer("readings", three_readings(triton_grpc), compression_algorithm="gzip"))


def grpc_async() -> None:
    came: queue.Queue[Any] = queue.Queue()
    client = rpc()
    for _ in range(20):
        client.async_infer(
            "readings", three_readings(triton_grpc), lambda result, error: came.put(error or result)
        )
    for _ in range(20):
        answers_to_three(came.get(timeout=120))


def grpc_one_tensor_of_numbers() -> None:
    client = triton_grpc.InferenceServerClient(AT.points_grpc)
    result = client.infer("points", [tensor(triton_grpc, "input-0", [[1.5, 2, 3], [4, np.nan, 6]], "FP16")])
    assert result.as_numpy("total").tolist() == [3.5, 4]


def grpc_aio() -> None:
    async def ask() -> None:
        async with triton_grpc_aio.InferenceServerClient(AT.readings_grpc) as client:
            assert await client.is_server_ready()
            asked = [client.infer("readings", three_readings(triton_grpc_aio)) for _ in range(20)]
            for result in await asyncio.gather(*asked):
                answers_to_three(result)

    asyncio.run(ask())


if __name__ == "__main__":
    run(globals().copy(), "http_", "grpc_")
