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


def with_files(folder: Path, files: str) -> dict[str, Any]:
    """The spec of the pod of an API that names files."""
    (folder / "program.yaml").write_text(PROGRAM.read_text())
    (folder / "program.prod.yaml").write_text(f"spec: {{commands: [{{name: serve-api, {files}}}]}}\n")
    rendered = pod(open_project(folder / "program.yaml", "prod"), image="a:1", bridge_image="b:1")
    made: dict[str, Any] = list(yaml.safe_load_all(rendered))[1]
    jsonschema.validate(made, SCHEMA)
    return dict(made["spec"])


def mounted(spec: dict[str, Any]) -> dict[str, tuple[str, dict[str, str]]]:
    """By path in the bridge's container: the Secret and its key that are the file there."""
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    found = {}
    for mount in spec["initContainers"][1]["volumeMounts"]:
        for source in volumes[mount["name"]].get("projected", {}).get("sources", ()):
            assert mount["readOnly"], "nobody writes a secret"
            assert "subPath" not in mount, "what is mounted as a single file is never renewed"
            for item in source["secret"]["items"]:
                found[f"{mount['mountPath']}/{item['path']}"] = (source["secret"]["name"], item["key"])
    return found


CERTIFICATE, KEY, TOKENS = (
    ("flight-delays-tls", "tls.crt"),
    ("flight-delays-tls", "tls.key"),
    ("flight-delays-tokens", "tokens"),
)


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ("tokens: /run/secrets/tokens", {"/run/secrets/tokens": TOKENS}),
        (
            "tls: {cert: /run/tls/tls.crt, key: /run/tls/tls.key}, tokens: /run/secrets/of-the-shop",
            {"/run/tls/tls.crt": CERTIFICATE, "/run/tls/tls.key": KEY, "/run/secrets/of-the-shop": TOKENS},
        ),
        (
            "tls: {cert: /etc/api/a.pem, key: /etc/keys/b.pem}, tokens: /etc/api/c",
            {"/etc/api/a.pem": CERTIFICATE, "/etc/keys/b.pem": KEY, "/etc/api/c": TOKENS},
        ),
    ],
    ids=["tokens", "both", "crosswise"],
)
def test_files_of_the_api_are_secrets_that_the_bridge_alone_sees(
    tmp_path: Path, files: str, wanted: dict[str, tuple[str, str]]
) -> None:
    spec = with_files(tmp_path, files)
    assert mounted(spec) == wanted
    others = [m["name"] for c in [spec["initContainers"][0], *spec["containers"]] for m in c["volumeMounts"]]
    assert not [name for name in others if name.startswith("secrets")]
    modes = {v["projected"]["defaultMode"] for v in spec["volumes"] if "projected" in v}
    assert modes == {0o440}, "read by the pod's group, which is fsGroup"


@pytest.mark.parametrize("path", ["certs/tokens", "/tokens", "/run/../tokens"])
def test_a_file_that_has_no_folder_of_its_own_in_a_pod_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(UserError, match=rf"serve-api\.tokens is {path}.*such as /run/serve-api/tokens"):
        with_files(tmp_path, f"tokens: {path}")


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
