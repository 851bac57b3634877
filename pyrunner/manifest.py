"""The Kubernetes manifest of a program: `templates/pod.yaml.j2`, filled in.

A plain pod with the bridge as a native sidecar: what a person can read, apply and start from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pyrunner import local
from pyrunner.errors import UserError
from pyrunner.program.models import Command
from pyrunner.project import Project
from pyrunner.resources import templates_folder

GRACE_SECONDS = 60  # the drain: 5 s for load balancers, the batches in flight, a flush; with room


def pod(project: Project, *, image: str, bridge_image: str, commands: Sequence[str] = ()) -> str:
    """The manifest as YAML, for the commands named, or all that serve.

    Raises UserError for a command that the program does not have or that ends by itself, and for files that have no place in a pod.
    """
    chosen = _serving(project, commands)
    fronts = [c for c in map(project.program.command, chosen) if local.kind(c) == "serve-api"]
    source = Environment(
        loader=FileSystemLoader(templates_folder()), undefined=StrictUndefined, keep_trailing_newline=True
    )
    return source.get_template("pod.yaml.j2").render(
        name=project.name,
        files=_files(project),
        env=project.env,
        commands=chosen,
        http=bool(fronts),
        grpc=next((front.grpc_port for front in fronts if front.grpc_port), None),
        tls=any(front.tls for front in fronts),
        secrets=_secrets(project.name, fronts),
        image=image,
        bridge_image=bridge_image,
        grace=GRACE_SECONDS,
    )


def _files(project: Project) -> dict[str, str]:
    """program.yaml and the overlay that lies over it, by the names that the bridge looks for."""
    path = project.path
    files = {"program.yaml": path.read_text()}
    if project.env:
        overlay = path.with_name(f"{path.stem}.{project.env}{path.suffix}")
        files[f"program.{project.env}.yaml"] = overlay.read_text()
    return files


def _secrets(name: str, fronts: Sequence[Command]) -> dict[str, dict[str, dict[str, str]]]:
    """By folder, then by Secret: under which file name each of its keys is wanted there.

    A folder is one volume, whole: a single file that is mounted (subPath) would not be renewed.
    """
    folders: dict[str, dict[str, dict[str, str]]] = {}
    for front in fronts:
        for setting, secret, key, path in _named_files(front):
            file = PurePosixPath(path)
            if not file.is_absolute() or file.parent == PurePosixPath("/") or ".." in file.parts:
                raise UserError(
                    f"manifest: {front.name}.{setting} is {path}. In a pod a Secret is mounted there: write an absolute path in a folder of its "
                    f"own, such as /run/{front.name}/{file.name}, here or in program.ENV.yaml for --env ENV"
                )
            folders.setdefault(str(file.parent), {}).setdefault(f"{name}-{secret}", {})[key] = file.name
    return folders


def _named_files(front: Command) -> Iterator[tuple[str, str, str, str]]:
    """The setting, the Secret and its key, and the path of each file that the bridge reads for this command."""
    if front.tls:  # keys as in Secrets of the type kubernetes.io/tls
        yield "tls.cert", "tls", "tls.crt", front.tls.cert
        yield "tls.key", "tls", "tls.key", front.tls.key
    if front.tokens:
        yield "tokens", "tokens", "tokens", front.tokens


def _serving(project: Project, wanted: Sequence[str]) -> list[str]:
    have = [command.name for command in local.serving(project)]
    unknown = [name for name in wanted if name not in have]
    if unknown or not have:
        missing = f"no command {', '.join(unknown)} that serves" if unknown else "no command that serves"
        raise UserError(f"manifest: {missing}. The program has: {', '.join(have) or 'none'}")
    return list(wanted) or have
