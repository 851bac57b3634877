"""Dockerfiles and compose files: several stages, not root, and nothing copied that is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.template.baked import bake

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake(tmp_path_factory.mktemp("project"), "flights")


def dockerfiles(project: Path) -> list[tuple[Path, Path]]:
    """(Dockerfile, the folder that it is built from)."""
    return [
        (ROOT / "deploy/bridge.Dockerfile", ROOT),
        (ROOT / "deploy/runner.Dockerfile", ROOT),
        (project / "Dockerfile", project),
    ]


def stages(dockerfile: Path) -> list[list[str]]:
    """The instructions of each stage, continued lines joined."""
    text = re.sub(r"\\\n", " ", dockerfile.read_text())
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    found: list[list[str]] = []
    for line in instructions:
        if line.startswith("FROM "):
            found.append([])
        found[-1].append(line)
    return found


def test_no_image_runs_as_root_or_carries_what_built_it(project: Path) -> None:
    for dockerfile, _ in dockerfiles(project):
        built = stages(dockerfile)
        assert len(built) > 1
        for stage in built:
            if any(line.startswith("ENTRYPOINT") for line in stage):
                assert "USER 65532:65532" in stage, dockerfile


def test_what_is_copied_from_the_folder_is_there(project: Path) -> None:
    (project / "models").mkdir(exist_ok=True)  # made by `train`, as the compose file's first line says
    for dockerfile, folder in dockerfiles(project):
        for line in (line for stage in stages(dockerfile) for line in stage if line.startswith("COPY ")):
            sources = [] if "--from=" in line else line.split()[1:-1]
            missing = [s for s in sources if not list(folder.glob(s)) and s != "wheels*"]
            assert not missing, f"{dockerfile}: {missing}"


def test_copies_from_stages_name_a_stage(project: Path) -> None:
    for dockerfile, _ in dockerfiles(project):
        text = dockerfile.read_text()
        named = set(re.findall(r"^FROM .* AS (\w+)$", text, re.MULTILINE))
        assert set(re.findall(r"--from=(\w+)", text)) <= named


def composed(project: Path) -> list[dict[str, Any]]:
    return [yaml.safe_load(p.read_text()) for p in (ROOT / "deploy/compose.yaml", project / "compose.yaml")]


def test_published_ports_are_on_loopback(project: Path) -> None:
    for compose in composed(project):
        for service in compose["services"].values():
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_programs_share_the_bridges_network_and_the_wire_is_on_loopback(project: Path) -> None:
    for compose in composed(project):
        assert "--listen=tcp://127.0.0.1:7400" in compose["services"]["bridge"]["command"]
        for name in ("score-stream", "serve-api"):
            service = compose["services"][name]
            assert service["network_mode"] == "service:bridge"
            assert service["command"][:3] == [name, "--bridge", "tcp://127.0.0.1:7400"]


def test_the_bridge_is_given_longer_to_stop_than_the_program(project: Path) -> None:
    for compose in composed(project):
        seconds = {
            name: int(s.get("stop_grace_period", "0s")[:-1]) for name, s in compose["services"].items()
        }
        assert seconds["bridge"] > seconds["score-stream"] >= 30


def test_named_volumes_are_declared_and_configuration_is_mounted_from_files_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    for service in compose["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / "deploy" / source).exists(), source
            elif not source.startswith("$"):
                assert source in compose["volumes"]
