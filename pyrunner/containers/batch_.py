"""`Batch[In]`: the events together with what the broker knows of them."""

from __future__ import annotations

from typing import Any, ClassVar

from pyrunner.batch import Batch
from pyrunner.containers.base import TypedBatch
from pyrunner.containers.list_ import ListContainer
from pyrunner.meta import header_pairs


class BatchContainer(ListContainer):
    name: ClassVar[str] = "batch"

    def build(self, batch: TypedBatch) -> Any:
        meta = batch.meta
        return Batch(
            batch.events,
            keys=meta.keys,
            timestamps=meta.timestamps,
            headers=None if meta.headers is None else [header_pairs(flat) for flat in meta.headers],
            ids=meta.ids(len(batch)),
        )


CONTAINER = BatchContainer
