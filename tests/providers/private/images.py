"""Images of this machine's own programs, with the names, ports and settings of the official ones."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from pathlib import Path

from ..local import goserver, kafka, postgres, redis
from ..needs import program
from .filesystem import FileSystem

_ENTRYPOINTS = Path(__file__).parent / "entrypoints"


@dataclass(frozen=True)
class Recipe:
    """One image: files of this machine by where they go, and what `docker import --change` says of it."""

    files: Mapping[str, str | Path]
    changes: Sequence[str]
    folders: Iterable[str] = field(default=())  # of the user 999, who runs the server


def make_all(address: str) -> dict[str, str]:
    """Makes all images; returns the environment that names them to the container provider."""
    return {f"DS_IMAGE_{name.upper()}": _make(address, name, recipe) for name, recipe in _recipes().items()}


def _make(address: str, name: str, recipe: Recipe) -> str:
    image = f"ds-runner-tests/{name}:local"
    changes = [argument for change in recipe.changes for argument in ("--change", change)]
    docker = [program("docker", ["docker.io"]), "--host", address, "import", *changes, "-", image]
    with subprocess.Popen(docker, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as importing:
        assert importing.stdin
        with FileSystem(importing.stdin) as tree:
            _shell(tree, name)
            for folder in recipe.folders:
                tree.folder(folder, owner=999)
            for target, source in recipe.files.items():
                tree.add(Path(source), target)
    if importing.returncode:
        raise RuntimeError(f"docker import of {image} failed with code {importing.returncode}")
    return image


def _shell(tree: FileSystem, name: str) -> None:
    """A shell for the entry point, and the entry point."""
    tree.add(Path(program("busybox", ["busybox-static"])), "/bin/busybox")
    for applet in ("sh", "env", "grep", "sed", "tr", "mkdir", "chown", "rm"):
        tree.link(f"/bin/{applet}", "busybox")
    tree.add(_ENTRYPOINTS / name, "/entrypoint")


def _recipes() -> dict[str, Recipe]:
    return {"kafka": _kafka(), "nats": _nats(), "redis": _redis(), "postgres": _postgres(), "s3": _s3()}


def _kafka() -> Recipe:
    home = kafka.installed()
    java = Path(os.path.realpath(program("java", [kafka.JAVA_PACKAGE]))).parents[1]
    files = {
        "/opt/java": java,
        "/opt/kafka/libs": home / "libs",
        "/opt/kafka/conf/log4j2.xml": home / "conf/log4j2.xml",
    }
    return Recipe(files, ['ENTRYPOINT ["/entrypoint"]', "ENV PATH=/bin:/opt/java/bin"])


def _nats() -> Recipe:
    return Recipe({"/bin/nats-server": goserver.nats()}, ['ENTRYPOINT ["/entrypoint"]', "ENV PATH=/bin"])


def _s3() -> Recipe:
    return Recipe({"/bin/versitygw": goserver.versitygw()}, ['ENTRYPOINT ["/entrypoint"]', "ENV PATH=/bin"])


def _redis() -> Recipe:
    return Recipe(
        {"/bin/redis-server": redis.server()},
        ['ENTRYPOINT ["/entrypoint"]', "ENV PATH=/bin", "WORKDIR /data"],
    )


def _postgres() -> Recipe:
    """The server finds its libraries and texts from where its program stands: all of it at the same places."""
    bin = Path(os.path.realpath(postgres.server_program("postgres"))).parent
    library, version = bin.parent / "lib", bin.parent.name
    needed = [
        bin / "postgres",
        bin / "initdb",
        *(path for path in glob(f"{library}/*.so") if "llvmjit" not in path),
    ]
    shared = [f"/usr/share/postgresql/{version}", "/usr/share/zoneinfo"]
    files = {str(path): path for path in [*map(str, needed), *shared]}
    return Recipe(
        files,
        ['ENTRYPOINT ["/entrypoint"]', f"ENV PATH=/bin:{bin}", "USER 999"],
        ["/run/postgresql"],
    )
