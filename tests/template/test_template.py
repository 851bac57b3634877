"""Each example of the template: baked, linted, installed, tested by its own tests, trained and replayed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException

from .baked import ROOT, Baked, bake, borrow

EXAMPLES = ["flights", "minimal", "sklearn"]
INPUT = {"flights": "departures", "minimal": "questions", "sklearn": "departures"}
TEXT = {".py", ".yaml", ".toml", ".md", ""}


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def project(example: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Baked]:
    folder = tmp_path_factory.mktemp(example)
    baked = Baked(bake(folder, example), borrow(folder / "venv"))
    baked.install()
    yield baked


def test_nothing_of_the_template_is_left(project: Baked) -> None:
    for path in project.folder.rglob("*"):
        assert "cookiecutter" not in path.name
        if path.is_file() and path.suffix in TEXT:
            assert not re.search(r"\{%|(?<!\$)\{\{|cookiecutter", path.read_text()), path
    assert not (project.folder / "examples").exists()


def test_a_project_has_few_files(project: Baked) -> None:
    tracked = [p for p in project.folder.rglob("*") if p.is_file() and ".dist-info" not in str(p)]
    assert len(tracked) <= 20, tracked


def test_the_package_is_formatted_and_typed(project: Baked) -> None:
    config = (
        "--config",
        str(ROOT / "pyproject.toml"),
        "--config",
        "lint.isort.known-first-party=['my_flights']",
    )
    project.run("ruff", "check", *config, ".")
    project.run("ruff", "format", "--check", *config, ".")
    project.run("mypy", "--strict", "--ignore-missing-imports", "my_flights")


def test_pyright_has_no_complaint(project: Baked) -> None:
    config = {
        "include": [str(project.folder)],
        "typeCheckingMode": "standard",  # as pyright judges; basedpyright's own rules stay out of it
        "venvPath": str(project.venv.parent),
        "venv": project.venv.name,
        "extraPaths": [str(ROOT), *borrowed(project)],
    }
    (project.folder.parent / "pyright.json").write_text(json.dumps(config))
    project.run("basedpyright", "--project", "../pyright.json")


def borrowed(project: Baked) -> list[str]:
    printed = project.run(
        "python", "-c", "import json, sys; print(json.dumps([p for p in sys.path if 'site-packages' in p]))"
    )
    return list(json.loads(printed))


def test_check_is_content(project: Baked) -> None:
    said = project.run("ds-runner", "check")
    assert "ok  model" in said
    assert "ok  answers do not depend on the batch" in said


def test_its_own_tests_pass(project: Baked) -> None:
    assert re.search(r"\d+ passed", project.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider"))


def test_it_trains_and_replays(project: Baked, example: str) -> None:
    assert "saved models/my-flights/1 (latest -> 1)" in project.run("ds-runner", "train")
    events = f"data/{INPUT[example]}.jsonl"
    project.run("ds-runner", "replay", events, "--output", "out.jsonl")
    project.run("ds-runner", "replay", events, "--expect", "out.jsonl")
    given = (project.folder / events).read_text().splitlines()
    assert len((project.folder / "out.jsonl").read_text().splitlines()) == len(given)


def test_its_own_command_has_the_same_verbs(project: Baked) -> None:
    assert "score-stream" in project.run("my-flights", "--help")


def test_compose_and_workflow_name_what_exists(project: Baked) -> None:
    compose = yaml.safe_load((project.folder / "compose.yaml").read_text())
    targets = set(
        re.findall(r"^FROM .* AS (\w+)$", (project.folder / "Dockerfile").read_text(), re.MULTILINE)
    )
    for service in compose["services"].values():
        assert service["build"]["target"] in targets
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (project.folder / source).exists()
    workflow = yaml.safe_load((project.folder / ".github/workflows/ci.yaml").read_text())
    steps = " ".join(step.get("run", "") for step in workflow["jobs"]["test"]["steps"])
    assert "requirements.lock" in steps
    assert (project.folder / "requirements.lock").exists()


@pytest.mark.parametrize("name", ["json", "class", "1st", "a" * 64])
def test_a_name_that_python_would_not_take_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path, "minimal", name)
    assert not list(tmp_path.iterdir())


def test_go_and_pypi_are_not_disturbed_by_the_template() -> None:
    assert not list((ROOT / "cookiecutter").rglob("*.go"))  # `go ./...` would stumble over the folder's name
    assert not (ROOT / "cookiecutter" / "__init__.py").exists()  # would hide the package of that name
