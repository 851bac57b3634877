"""Writes deploy/kubernetes/pod.yaml: what `ds-runner manifest` prints for the program in example-program.yaml.

python -m tests.deploy.render_pod
"""

from __future__ import annotations

from pathlib import Path

from pyrunner.manifest import pod
from pyrunner.program import load_program

PROGRAM = Path(__file__).parent / "example-program.yaml"
COMMITTED = Path(__file__).parents[2] / "deploy/kubernetes/pod.yaml"


def render() -> str:
    program = load_program(PROGRAM)
    files = {"program.yaml": PROGRAM.read_text()}
    return pod(program, files, image="flight-delays:0.1.0", bridge_image="ds-bridge:0.1.0")


if __name__ == "__main__":
    COMMITTED.write_text(render())
