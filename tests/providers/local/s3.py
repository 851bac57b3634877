"""S3: the Versity gateway in front of a folder, built from its Go module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import probes, s3api
from . import goserver
from .process import ProcessComponent


class S3(ProcessComponent):
    name = "s3"
    probe = staticmethod(probes.s3)

    @property
    def url(self) -> str:
        return s3api.url(self.port)

    def prepare(self) -> None:
        for part in ("objects", "metadata"):
            (self.folder / part).mkdir()

    def after_start(self) -> None:
        s3api.make_bucket(self.port)

    def environment(self) -> Mapping[str, str]:
        return {"ROOT_ACCESS_KEY": s3api.KEY, "ROOT_SECRET_KEY": s3api.SECRET}

    def command(self) -> Sequence[str]:
        # Metadata in files of its own: the temporary folder need not be on a file system with extended attributes.
        backend = ["posix", "--sidecar", str(self.folder / "metadata"), str(self.folder / "objects")]
        return [
            str(goserver.versitygw()),
            "--port",
            f"127.0.0.1:{self.port}",
            "--region",
            s3api.REGION,
            "--quiet",
            *backend,
        ]
