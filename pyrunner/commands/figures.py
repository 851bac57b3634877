"""Metrics in words."""

from collections.abc import Mapping

COUNTS = ("rows", "left_out")  # what the default evaluate says besides metrics


def compared(metrics: Mapping[str, float], baseline: Mapping[str, float]) -> str:
    """`rmse 17.0 (mean baseline 41.0), accuracy_late 0.91 (mean baseline 0.78)`."""
    said = (_one(name, value, baseline.get(name)) for name, value in metrics.items() if name not in COUNTS)
    return ", ".join(said)


def figure(value: float) -> str:
    """Three digits or so: 17.0, 0.912, 12,345."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def _one(name: str, value: float, base: float | None) -> str:
    return f"{name} {figure(value)}" + (f" (mean baseline {figure(base)})" if base is not None else "")
