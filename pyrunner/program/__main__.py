"""Writes the JSON Schema anew: `python -m pyrunner.program`, from a checkout."""

from pyrunner.program.schema import FOR_THE_BRIDGE, SHIPPED, write

write(SHIPPED, FOR_THE_BRIDGE)
