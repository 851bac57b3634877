"""program.yaml: what a program is made of, read the same by Python, by the bridge and by a cluster.

`load_program` turns the file (with an environment's file and parameters over it) into a resolved `Program`, or raises one
error that lists every problem with file, line, column and path. In this order: `compose` bytes to a tree with places,
`merge` overlay and parameters, `structure` keys and values by pydantic, `secrets` references, `resolve` defaults and
inferred values, `names` whether all of it fits together. `bridge_go/program` does the same in Go; tests/vectors/program
holds both to the same verdicts and the same texts.
"""

from pyrunner.program.load import ProgramError, load_program
from pyrunner.program.models import (
    Batch,
    Breaker,
    Command,
    Connection,
    Dataset,
    Deploy,
    Duration,
    Metadata,
    Program,
    Queue,
    Scale,
    Size,
    Spec,
    Stream,
)
from pyrunner.program.places import Place, Problem

__all__ = [
    "Batch",
    "Breaker",
    "Command",
    "Connection",
    "Dataset",
    "Deploy",
    "Duration",
    "Metadata",
    "Place",
    "Problem",
    "Program",
    "ProgramError",
    "Queue",
    "Scale",
    "Size",
    "Spec",
    "Stream",
    "load_program",
]
