"""Data for the model: databases, key-value stores and objects, asked for through the bridge.

    ctx.read_sql(...) -> Access (access.py) -> Reach (reach.py) -> the calls connection -> ds-bridge -> the database

No client of a database and no credential is in this process: a call names a connection of program.yaml, and the bridge,
which alone reads what `${env:...}` stands for, answers with columns, values and parts of objects.

    access.py    one call of a model's method: under which lease it asks, whether its writes wait for the answer
    queries.py   SQL: statements and parameters out, pages of columns in
    frames.py    columns as a DataFrame, with dtypes that never depend on the values
    keyvalues.py, objects.py, writes.py   keys, large things in parts, writes that wait
    connect.py   a project's bridge: the one that runs, or one of its own
    dataset.py   a dataset of program.yaml that is a query
"""

from pyrunner.data.access import Access
from pyrunner.data.errors import DataError

__all__ = ["Access", "DataError"]
