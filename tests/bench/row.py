"""One figure with what it must be read beside."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    name: str
    value: float
    unit: str
    n: int
    floor: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    spread: float | None = None
    goal: str = ""
    met: bool | None = None

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "n": self.n,
            "floor": None if self.floor is None else round(self.floor, 4),
            "peers": {name: round(value, 4) for name, value in self.peers.items()},
            "spread": None if self.spread is None else round(self.spread, 3),
            "goal": self.goal,
            "met": self.met,
        }

    def __str__(self) -> str:
        text = f"{self.name:26s} {self.value:12,.3f} {self.unit:10s}"
        if self.floor is not None:
            text += f" floor {self.floor:,.3f} (x{self.value / self.floor:.2f})"
        for name, value in self.peers.items():
            text += f"  {name} {value:,.3f}" + (f" (x{self.value / value:.2f})" if value else "")
        if self.goal and self.met is not None:
            text += f"  [{'met' if self.met else 'NOT MET'}: {self.goal}]"
        elif self.goal:
            text += f"  [{self.goal}]"
        return text
