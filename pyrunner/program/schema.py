"""The JSON Schema of program.yaml: generated from the models, shipped, and read by the bridge as its rules.

`python -m pyrunner.program` writes both copies anew; a test says when they are stale.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from pyrunner.program.kinds import ALIASES, COMMON_FIELDS, KINDS
from pyrunner.program.models import Program

SHIPPED = Path(__file__).with_name("program.schema.json")
FOR_THE_BRIDGE = Path(__file__).parents[2] / "bridge_go" / "program" / "program.schema.json"


class _Plain(GenerateJsonSchema):
    """Without null: a key that is empty is a key that is absent."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def program_schema() -> dict[str, Any]:
    """The schema as a JSON object."""
    schema = Program.model_json_schema(schema_generator=_Plain)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["x-kinds"] = {"common": list(COMMON_FIELDS), "aliases": ALIASES, "kinds": KINDS}
    tidy: dict[str, Any] = _tidy(schema)
    return tidy


def _tidy(part: Any) -> Any:
    """Drops titles and null defaults that pydantic adds and nobody reads; anchors patterns for other readers."""
    if isinstance(part, list):
        return [_tidy(p) for p in part]
    if not isinstance(part, dict):
        return part
    kept = {k: _tidy(v) for k, v in part.items() if not (k == "title" and isinstance(v, str))}
    if "default" in kept and kept["default"] is None:
        del kept["default"]
    if isinstance(pattern := kept.get("pattern"), str):
        kept["pattern"] = f"^(?:{pattern})$"
    if isinstance(named := kept.pop("patternProperties", None), dict):
        [(pattern, kept["additionalProperties"])] = named.items()
        kept["propertyNames"]["pattern"] = f"^(?:{pattern})$"
    return kept


def rendered() -> str:
    """The file's text."""
    return json.dumps(program_schema(), indent=1, ensure_ascii=False) + "\n"


def write(*paths: Path) -> None:
    """Writes the schema to these files."""
    for path in paths:
        path.write_text(rendered(), encoding="utf-8")
