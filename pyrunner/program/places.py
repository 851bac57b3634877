"""Where a value of program.yaml was written, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A file with line and column, both from 1; line 0 is a place outside files, such as `--param trees`."""

    file: str
    line: int = 0
    col: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.col}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: a stable code for programs, and for people a place, the path and a sentence."""

    place: Place
    path: str
    code: str
    text: str

    def __str__(self) -> str:
        return f"{self.place} {self.path}: {self.text}" if self.path else f"{self.place} {self.text}"


@dataclass(slots=True)
class Problems:
    """Collects mistakes, so that all of them are told at once and in the order of the files."""

    found: list[Problem] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def add(self, place: Place, path: str, code: str, text: str) -> None:
        problem = Problem(place, path, code, text)
        if problem not in self.found:
            self.found.append(problem)

    def in_order(self) -> list[Problem]:
        """All problems by file (base, overlay, command line), line, column, path and code."""
        rank = {name: at for at, name in enumerate(self.files)}

        def key(p: Problem) -> tuple[int, int, int, str, str]:
            return rank.get(p.place.file, len(rank)), p.place.line, p.place.col, p.path, p.code

        return sorted(self.found, key=key)

    def __str__(self) -> str:
        return "\n".join(str(p) for p in self.in_order())
