"""`pd.DataFrame`: a frame with dtypes by the declaration, whatever the values of the batch are; pandas 2.3 and 3."""

from __future__ import annotations

from typing import Any, ClassVar

import pandas as pd

from pyrunner.columns.read import ColumnBatch
from pyrunner.columns.to_pandas import FrameBuilder
from pyrunner.containers.base import TypedBatch
from pyrunner.containers.columns import ColumnAnswers
from pyrunner.containers.dtypes import Columns
from pyrunner.context import Context
from pyrunner.signature import Signature


class PandasContainer:
    name: ClassVar[str] = "pandas"

    def __init__(self, signature: Signature) -> None:
        self._columns = Columns(signature.input_schema)
        self._answers = ColumnAnswers(signature)
        self._by_columns: FrameBuilder | None = None

    def build(self, batch: TypedBatch) -> pd.DataFrame:
        data = {name: make(batch.column(name)) for name, make in self._columns.makers.items()}
        return pd.DataFrame(data, index=pd.RangeIndex(len(batch)), copy=False)

    def build_columns(self, batch: ColumnBatch) -> pd.DataFrame:
        """The same, from columns of a class that plan.py calls safe."""
        if self._by_columns is None:
            self._by_columns = FrameBuilder(batch.schema)
        return self._by_columns.build(batch)

    def keep(self, batch: ColumnBatch) -> memoryview:
        """The body as it is now, whatever the model does to what it is given: for a second try."""
        return memoryview(bytes(batch.body))

    def outcomes(self, answer: Any, ctx: Context) -> list[Any]:
        return self._answers.outcomes(answer, ctx)


CONTAINER = PandasContainer
