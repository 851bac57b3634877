"""Writes deploy/kubernetes/pod.yaml: what `ds-runner manifest --image flight-delays:0.1.0` prints for example-program.yaml.

python -m tests.deploy.render_pod
"""

from __future__ import annotations

from pathlib import Path

from pyrunner.manifest import pod
from pyrunner.project import open_project

PROGRAM = Path(__file__).parent / "example-program.yaml"
COMMITTED = Path(__file__).parents[2] / "deploy/kubernetes/pod.yaml"


def render() -> str:
    return pod(open_project(PROGRAM), image="flight-delays:0.1.0", bridge_image="flight-delays-bridge:0.1.0")


if __name__ == "__main__":
    COMMITTED.write_text(render())
