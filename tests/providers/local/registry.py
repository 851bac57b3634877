"""The schema registry's stand-in, as a process: it can be killed like the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import probes, schemaregistry
from .process import ProcessComponent


class Registry(ProcessComponent):
    name = "registry"
    probe = staticmethod(probes.registry)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return [sys.executable, schemaregistry.__file__, str(self.port), str(self.folder / "schemas.jsonl")]
