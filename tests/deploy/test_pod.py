"""The pod: valid, current, and in the order of start and stop that loses nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from pyrunner.cli import app
from pyrunner.errors import UserError
from pyrunner.manifest import pod
from pyrunner.project import open_project

from .render_pod import COMMITTED, PROGRAM, render

SCHEMA = json.loads((Path(__file__).parent / "pod.schema.json").read_text())


@pytest.fixture
def documents() -> dict[str, dict[str, Any]]:
    return {document["kind"]: document for document in yaml.safe_load_all(COMMITTED.read_text())}


@pytest.fixture
def spec(documents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(documents["Pod"]["spec"])


def argument(container: dict[str, Any], name: str) -> str:
    """The value of `--name=value` or `--name value`."""
    args = container["args"]
    joined = [a.partition("=")[2] for a in args if a.startswith(f"--{name}=")]
    return str(joined[0] if joined else args[args.index(f"--{name}") + 1])


def test_the_committed_manifest_is_what_the_template_gives() -> None:
    assert COMMITTED.read_text() == render(), "run: python -m tests.deploy.render_pod"


def test_each_document_fits_the_schema(documents: dict[str, dict[str, Any]]) -> None:
    assert list(documents) == ["ConfigMap", "Pod", "Service"]
    for document in documents.values():
        jsonschema.validate(document, SCHEMA)


def test_the_schema_refuses_a_misspelt_key(documents: dict[str, dict[str, Any]]) -> None:
    documents["Pod"]["spec"]["containers"][0]["imagePulPolicy"] = "Never"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(documents["Pod"], SCHEMA)


def test_the_bridge_is_a_native_sidecar_behind_the_token(spec: dict[str, Any]) -> None:
    token, bridge = spec["initContainers"]
    assert "restartPolicy" not in token  # ends before the next one starts
    assert bridge["restartPolicy"] == "Always"


def test_the_start_up_probe_does_not_wait_for_workers_that_wait_for_it(spec: dict[str, Any]) -> None:
    bridge = spec["initContainers"][1]
    assert bridge["startupProbe"]["httpGet"]["path"] == "/livez"
    assert bridge["readinessProbe"]["httpGet"]["path"] == "/readyz"


def test_the_wire_stays_on_loopback_and_both_sides_name_the_same(spec: dict[str, Any]) -> None:
    bridge = spec["initContainers"][1]
    assert argument(bridge, "listen").startswith("tcp://127.0.0.1:")
    for container in spec["containers"]:
        assert argument(container, "bridge") == argument(bridge, "listen")
        assert argument(container, "token-file") == argument(bridge, "token-file")


def test_the_token_is_in_memory_and_only_its_maker_may_write_it(spec: dict[str, Any]) -> None:
    (wire,) = [volume for volume in spec["volumes"] if volume["name"] == "wire"]
    assert wire["emptyDir"]["medium"] == "Memory"
    token, *others = spec["initContainers"] + spec["containers"]
    assert [m for m in token["volumeMounts"] if m["name"] == "wire" and not m.get("readOnly")]
    for container in others:
        assert all(m.get("readOnly") for m in container["volumeMounts"] if m["name"] == "wire")


def test_every_mount_has_its_volume(spec: dict[str, Any]) -> None:
    volumes = {volume["name"] for volume in spec["volumes"]}
    mounted = {m["name"] for c in spec["initContainers"] + spec["containers"] for m in c["volumeMounts"]}
    assert mounted == volumes


def test_every_probe_and_service_names_a_port_of_the_bridge(documents: dict[str, dict[str, Any]]) -> None:
    bridge = documents["Pod"]["spec"]["initContainers"][1]
    ports = {port["name"] for port in bridge["ports"]}
    asked = {bridge[probe]["httpGet"]["port"] for probe in bridge if probe.endswith("Probe")}
    assert asked | {port["targetPort"] for port in documents["Service"]["spec"]["ports"]} <= ports


def test_each_command_runs_as_one_container_and_the_bridge_knows_it(spec: dict[str, Any]) -> None:
    bridge = spec["initContainers"][1]
    known = [a.partition("=")[2] for a in bridge["args"] if a.startswith("--command=")]
    assert (
        [container["args"][0] for container in spec["containers"]] == known == ["score-stream", "serve-api"]
    )


def test_only_the_bridge_sees_secrets(spec: dict[str, Any]) -> None:
    with_secrets = [c["name"] for c in spec["initContainers"] + spec["containers"] if "envFrom" in c]
    assert with_secrets == ["bridge"]


def test_the_bridge_reads_the_program_of_the_config_map(documents: dict[str, dict[str, Any]]) -> None:
    assert documents["ConfigMap"]["data"]["program.yaml"].strip() == PROGRAM.read_text().strip()


def test_a_stream_alone_has_no_http_and_an_environment_goes_to_both_halves(tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_text(PROGRAM.read_text())
    (tmp_path / "program.prod.yaml").write_text("spec: {params: {}}\n")
    project = open_project(tmp_path / "program.yaml", "prod")
    rendered = pod(project, image="a:1", bridge_image="b:1", commands=["score-stream"])
    config, made = yaml.safe_load_all(rendered)  # no Service
    jsonschema.validate(made, SCHEMA)
    assert set(config["data"]) == {"program.yaml", "program.prod.yaml"}
    bridge = made["spec"]["initContainers"][1]
    assert [port["name"] for port in bridge["ports"]] == ["metrics"]
    assert "readinessProbe" not in bridge
    for container in [bridge, *made["spec"]["containers"]]:
        assert argument(container, "env") == "prod"


def test_an_api_with_tls_is_probed_by_it(tmp_path: Path) -> None:
    (tmp_path / "program.yaml").write_text(PROGRAM.read_text())
    over = "spec: {commands: [{name: serve-api, tls: {cert: /run/tls/tls.crt, key: /run/tls/tls.key}}]}\n"
    (tmp_path / "program.prod.yaml").write_text(over)
    rendered = pod(open_project(tmp_path / "program.yaml", "prod"), image="a:1", bridge_image="b:1")
    made = list(yaml.safe_load_all(rendered))[1]
    jsonschema.validate(made, SCHEMA)
    probe = made["spec"]["initContainers"][1]["readinessProbe"]["httpGet"]
    assert probe == {"path": "/readyz", "port": "http", "scheme": "HTTPS"}


def test_a_port_for_grpc_is_one_of_the_bridge_and_of_the_service(tmp_path: Path) -> None:
    text = PROGRAM.read_text().replace("name: serve-api", "name: serve-api, grpc_port: 8081")
    assert "grpc_port" in text
    (tmp_path / "program.yaml").write_text(text)
    rendered = pod(open_project(tmp_path / "program.yaml"), image="a:1", bridge_image="b:1")
    documents = {document["kind"]: document for document in yaml.safe_load_all(rendered)}
    for kind in "Pod", "Service":
        jsonschema.validate(documents[kind], SCHEMA)
    assert {"name": "grpc", "containerPort": 8081} in documents["Pod"]["spec"]["initContainers"][1]["ports"]
    assert {"name": "grpc", "port": 8081, "targetPort": "grpc"} in documents["Service"]["spec"]["ports"]


def test_a_command_that_ends_by_itself_has_no_pod() -> None:
    with pytest.raises(
        UserError, match=r"no command train that serves\. The program has: score-stream, serve-api"
    ):
        pod(open_project(PROGRAM), image="a:1", bridge_image="b:1", commands=["train"])


def test_the_command_prints_what_is_committed() -> None:
    printed = CliRunner().invoke(
        app, ["manifest", "--program", str(PROGRAM), "--image", "flight-delays:0.1.0"]
    )
    assert printed.stdout == COMMITTED.read_text()
