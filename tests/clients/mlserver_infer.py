"""What MLServer's clients ask of ds-runner: its gRPC messages with typed contents, and `mlserver infer`. It runs in their environment:

    python mlserver_infer.py READINGS_HTTP READINGS_GRPC POINTS_HTTP POINTS_GRPC

It is a process of its own, for tritonclient.grpc brings messages of the same names. docs/open-inference.md names these checks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
from harness import AT, run
from mlserver.grpc import dataplane_pb2, dataplane_pb2_grpc
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.types import InferenceRequest


def request_of(n: int) -> dict[str, Any]:
    return {
        "id": f"id-{n}",
        "inputs": [
            {"name": "sensor", "datatype": "BYTES", "shape": [2], "data": [f"s{n}", "t"]},
            {"name": "value", "datatype": "FP64", "shape": [2], "data": [n, n + 0.5]},
        ],
        "outputs": [{"name": "double"}, {"name": "sensor"}],
    }


def mlserver_grpc_typed() -> None:
    with grpc.insecure_channel(AT.readings_grpc) as channel:
        stub = dataplane_pb2_grpc.GRPCInferenceServiceStub(channel)
        assert stub.ServerLive(dataplane_pb2.ServerLiveRequest()).live
        assert stub.ModelReady(dataplane_pb2.ModelReadyRequest(name="readings")).ready
        wanted = request_of(3)
        wanted["inputs"][0]["data"] = [b"s3", b"t"]
        asked = ModelInferRequestConverter.from_types(InferenceRequest(**wanted), model_name="readings")
        answer = ModelInferResponseConverter.to_types(stub.ModelInfer(asked))
    double, sensor = answer.outputs
    assert answer.id == "id-3"
    assert list(double.data) == [6, 7]
    assert [text if isinstance(text, str) else text.decode() for text in sensor.data] == ["s3", "t"]


def mlserver_infer() -> None:
    infer()


def mlserver_infer_binary() -> None:
    infer("--binary-data")


def infer(*options: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mlserver-infer-") as name:
        asked, answered = Path(name) / "asked.jsonl", Path(name) / "answered.jsonl"
        asked.write_text("".join(json.dumps(request_of(n)) + "\n" for n in range(20)))
        command = [
            str(Path(sys.executable).with_name("mlserver")), "infer", "-u", AT.readings_http, "-m", "readings",
            "-i", str(asked), "-o", str(answered), "-w", "3", "-s", "4", *options,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        answers = [json.loads(line) for line in answered.read_text().splitlines()]
    assert len(answers) == 20, done.stderr
    for answer in answers:
        assert "error" not in answer, answer
        n = answer["parameters"]["batch_index"]
        by_name = {o["name"]: o["data"] for o in answer["outputs"]}
        assert by_name["double"] == [2 * n, 2 * n + 1], answer


if __name__ == "__main__":
    run(globals().copy(), "mlserver_")
