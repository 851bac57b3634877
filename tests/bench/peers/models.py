"""The models of the HTTP rows, fitted in a second by whoever serves them: the same in ours and in each peer."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

SEED = 20131001
FLOWER = {"sl": 5.9, "sw": 3.0, "pl": 4.2, "pw": 1.5}
FLIGHT = {"distance": 1400.0, "dep_delay": 12.0, "hour": 17, "carrier": "UA", "origin": "JFK"}
CARRIERS = ["AA", "B6", "DL", "EV", "MQ", "UA", "US", "WN"]
ORIGINS = ["EWR", "JFK", "LGA"]
CAP = 64  # rows of one call of a model, for everybody who batches


def lr() -> Any:
    """Microseconds a row, about a hundred a call."""
    return LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))


def rf() -> Any:
    """Milliseconds a call, however many rows."""
    return RandomForestClassifier(100, random_state=SEED, n_jobs=1).fit(*load_iris(return_X_y=True))


def flights(rows: int) -> Any:
    """Made-up flights as a DataFrame, and whether they were late."""
    import pandas as pd

    random = np.random.default_rng(SEED)
    table = pd.DataFrame(
        {
            "distance": random.uniform(80, 3000, rows),
            "dep_delay": random.normal(10, 30, rows),
            "hour": random.integers(5, 24, rows),
            "carrier": random.choice(CARRIERS, rows),
            "origin": random.choice(ORIGINS, rows),
        }
    )
    late = (table["dep_delay"] + 10 * (table["hour"] > 16) + random.normal(0, 15, rows) > 15).astype(int)
    return table, late


def pipeline() -> Any:
    """A ColumnTransformer over a DataFrame of numbers and words: milliseconds a call, most of them pandas and scikit-learn."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["distance", "dep_delay", "hour"]),
            ("words", OneHotEncoder(handle_unknown="ignore"), ["carrier", "origin"]),
        ]
    )
    return Pipeline([("columns", columns), ("lr", LogisticRegression(max_iter=500))]).fit(*flights(5000))


def matrix(rows: list[dict[str, Any]]) -> Any:
    """Flowers as the array that the models of iris take."""
    return np.array([[row["sl"], row["sw"], row["pl"], row["pw"]] for row in rows])


def spin(milliseconds: float) -> None:
    """A call that takes a processor for so long."""
    import time

    end = time.perf_counter() + milliseconds / 1000
    while time.perf_counter() < end:
        pass
