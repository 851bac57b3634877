"""The schema registry's stand-in answers as the interface that it stands in for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.providers.schemaregistry import Refusal, Schemas


def _record(**fields: Any) -> dict[str, str]:
    """An Avro record: a field's type, or its type and default."""
    listed = [
        {"name": name, "type": kind[0], "default": kind[1]}
        if isinstance(kind, tuple)
        else {"name": name, "type": kind}
        for name, kind in fields.items()
    ]
    return {"schema": json.dumps({"type": "record", "name": "flight", "fields": listed})}


@pytest.fixture
def schemas(tmp_path: Path) -> Schemas:
    return Schemas(tmp_path / "schemas.jsonl")


def test_a_schema_has_one_id_in_all_subjects(schemas: Schemas) -> None:
    assert schemas.register("a-value", _record(id="long")) == {"id": 1}
    assert schemas.register("a-value", _record(id="long")) == {"id": 1}
    assert schemas.register("b-value", _record(id="long")) == {"id": 1}
    assert schemas.versions("a-value") == [1]
    assert schemas.users("1") == [{"subject": "a-value", "version": 1}, {"subject": "b-value", "version": 1}]
    assert schemas.schema("1") == _record(id="long"), "Avro is the type that is not named"


def test_versions_are_found_by_number_and_as_the_latest(schemas: Schemas) -> None:
    first, second = _record(id="long"), _record(id="long", delay=("double", 0.0))
    schemas.register("a", first)
    schemas.register("a", second)
    assert schemas.version("a", "1") == {"subject": "a", "version": 1, "id": 1, **first}
    assert schemas.version("a", "latest")["version"] == schemas.version("a", "-1")["version"] == 2
    assert schemas.lookup("a", second)["version"] == 2
    assert schemas.raw("a", "1")["name"] == "flight"


def test_types_and_references_are_kept(schemas: Schemas) -> None:
    body = {
        "schemaType": "PROTOBUF",
        "schema": 'syntax = "proto3"; import "b.proto";',
        "references": [{"name": "b.proto", "subject": "b", "version": 1}],
    }
    assert schemas.schema(str(schemas.register("a", body)["id"])) == body


@pytest.mark.parametrize(
    ("level", "change", "allowed"),
    [
        ("BACKWARD", _record(id="long", delay=("double", 0.0)), True),
        ("BACKWARD", _record(id="long", delay="double"), False),
        ("BACKWARD", _record(id="string"), False),
        ("BACKWARD", _record(), True),
        ("FORWARD", _record(), False),
        ("FORWARD", _record(id="long", delay="double"), True),
        ("FULL", _record(id="long", delay="double"), False),
        ("NONE", _record(id="string"), True),
    ],
)
def test_a_change_is_judged_by_the_level(
    schemas: Schemas, level: str, change: dict[str, str], allowed: bool
) -> None:
    schemas.register("a", _record(id="long"))
    schemas.set_level("a", {"compatibility": level})
    assert schemas.compatible("a", "latest", change)["is_compatible"] is allowed
    if allowed:
        schemas.register("a", change)
    else:
        with pytest.raises(Refusal, match="incompatible") as refusal:
            schemas.register("a", change)
        assert refusal.value.code == 409


def test_what_is_not_there_has_the_interface_s_own_codes(schemas: Schemas) -> None:
    schemas.register("a", _record(id="long"))
    for ask, code in (
        (lambda: schemas.versions("b"), 40401),
        (lambda: schemas.version("a", "7"), 40402),
        (lambda: schemas.schema("7"), 40403),
        (lambda: schemas.lookup("a", _record()), 40403),
        (lambda: schemas.register("a", {"schema": "{"}), 42201),
        (lambda: schemas.register("a", {"schema": "{}", "schemaType": "XML"}), 42201),
        (lambda: schemas.set_level("a", {"compatibility": "SOME"}), 42203),
    ):
        with pytest.raises(Refusal) as refusal:
            ask()
        assert refusal.value.code == code


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(schemas: Schemas) -> None:
    schemas.register("a", _record(id="long"))
    assert schemas.delete_version("a", "1") == 1
    assert schemas.subjects() == []
    schemas.register("a", _record(id="string"))
    assert schemas.versions("a") == [2]
    assert schemas.delete_subject("a") == [2]
    assert schemas.subjects() == []


def test_everything_is_there_after_a_kill_in_the_middle_of_a_line(tmp_path: Path) -> None:
    file = tmp_path / "schemas.jsonl"
    before = Schemas(file)
    before.register("a", _record(id="long"))
    before.set_level("", {"compatibility": "NONE"})
    with file.open("a") as torn:
        torn.write('{"register": "a", "sch')
    after = Schemas(file)
    assert (after.versions("a"), after.level("a")) == ([1], {"compatibilityLevel": "NONE"})
    after.register("a", _record(id="string"))
    assert Schemas(file).versions("a") == [1, 2]
