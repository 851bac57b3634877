"""The Kubernetes manifest of a program: `templates/pod.yaml.j2`, filled in.

A plain pod with the bridge as a native sidecar: what a person can read, apply and start from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pyrunner.errors import UserError
from pyrunner.program import Program
from pyrunner.program.kinds import kind_of
from pyrunner.resources import templates_folder

SERVING = ("score-stream", "serve-api")  # the kinds that run until they are told to end
GRACE_SECONDS = 60  # SERVING's drains (5 s for load balancers, the batches in flight, a flush), with room


def pod(
    program: Program,
    files: Mapping[str, str],
    *,
    image: str,
    bridge_image: str,
    env: str | None = None,
    commands: Sequence[str] = (),
) -> str:
    """The manifest as YAML. `files` are program.yaml and its overlay, by name; `commands` default to those that serve.

    Raises UserError for a command that the program does not have or that does not run for ever.
    """
    source = Environment(
        loader=FileSystemLoader(templates_folder()), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return source.get_template("pod.yaml.j2").render(
        name=program.metadata.name,
        files=dict(files),
        env=env,
        commands=_serving(program, commands),
        image=image,
        bridge_image=bridge_image,
        grace=GRACE_SECONDS,
    )


def _serving(program: Program, wanted: Sequence[str]) -> list[str]:
    have = [c.name for c in program.spec.commands if kind_of(c.name, c.kind or "") in SERVING]
    unknown = [name for name in wanted if name not in have]
    if unknown or not have:
        raise UserError(
            f"manifest: no command {', '.join(unknown) or 'that serves'}. The program has {', '.join(have) or 'none'}"
        )
    return list(wanted) or have
