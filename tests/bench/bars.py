"""A chart of bars as SVG, without a library: a label, a bar, a figure. Ours is dark, the others are light."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, LINE, LABEL, FIGURE = 760, 26, 230, 110


def chart(title: str, values: Mapping[str, float], ours: str) -> str:
    """Bars in the order given, in proportion to the largest."""
    longest = max(values.values())
    height = LINE * (len(values) + 1) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}"'
        ' font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="8" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for number, (name, value) in enumerate(values.items(), 1):
        top = LINE * number + 4
        length = max(1.0, value / longest * (WIDTH - LABEL - FIGURE))
        colour = "#1f4e79" if name == ours else "#b8c7d9"
        lines += [
            f'<text x="{LABEL - 8}" y="{top + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{length:.1f}" height="18" fill="{colour}"/>',
            f'<text x="{LABEL + length + 6:.1f}" y="{top + 14}">{figure(value)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def figure(value: float) -> str:
    """A number as a reader wants it: three digits that matter."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
