"""`Params`: the settings of a model, given by program.yaml, --param or keywords."""

from pyrunner.events import Declared


class Params(Declared):
    """Nested in the model: `class Params(Params): shrink: Annotated[float, Field(ge=0)] = 50.0`, read as `self.params.shrink`.

    Checked when a model is made; every field has a default, or must be given.
    """


# The class stands this high up because mypy, to tell which of the two `Params` in `class Params(Params)` is meant, compares
# the line of this class with that of the model's class, though they are lines of two files.
