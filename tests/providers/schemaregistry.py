"""A stand-in for a Confluent-compatible schema registry: a program of the standard library alone.

    usage: schemaregistry.py PORT FILE

It has what serializers and deserializers ask for: subjects, versions, ids, configuration and compatibility. Ids are
handed out per schema (text, type and references), as the real one does. Compatibility is judged where it can be without
an Avro or Protobuf compiler: JSON texts of Avro records may not gain a field without a default (BACKWARD), nor change a
field's type; anything else passes. Each change is a line in FILE, written and synced before it is answered.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Json = Any


class Refusal(Exception):
    """An error as the registry's interface numbers it: the first three digits are the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Schemas:
    """Schemas by id, and subjects as lists of versions. Safe from several threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.Lock()
        self._schemas: list[Json] = []
        self._subjects: dict[str, list[int | None]] = {}  # the id of each version; None where it was deleted
        self._levels: dict[str, str] = {}
        for line in _whole_lines(file):
            self._apply(json.loads(line))
        self._file = file.open("a")

    def subjects(self) -> Json:
        return sorted(subject for subject, ids in self._subjects.items() if any(ids))

    def versions(self, subject: str) -> Json:
        return [number for number, _ in self._live(subject)]

    def version(self, subject: str, which: str) -> Json:
        number, ident = self._find(subject, which)
        return self._described(subject, number, ident)

    def raw(self, subject: str, which: str) -> Json:
        return json.loads(self.version(subject, which)["schema"])

    def schema(self, ident: str) -> Json:
        if not 1 <= int(ident) <= len(self._schemas):
            raise Refusal(40403, f"Schema {ident} not found")
        return self._schemas[int(ident) - 1]

    def users(self, ident: str) -> Json:
        """The subjects and versions that have the schema `ident`."""
        self.schema(ident)
        return [
            {"subject": subject, "version": number}
            for subject in self.subjects()
            for number, one in self._live(subject)
            if one == int(ident)
        ]

    def register(self, subject: str, body: Json) -> Json:
        wanted = _normal(body)
        with self._lock:
            ident = self._ident(wanted)
            if ident and ident in self._subjects.get(subject, []):
                return {"id": ident}
            complaints = self._complaints(subject, wanted)
            if complaints:
                raise Refusal(
                    409, f"Schema being registered is incompatible with an earlier schema: {complaints}"
                )
            self._write({"register": subject, "schema": wanted})
            return {"id": self._ident(wanted)}

    def lookup(self, subject: str, body: Json) -> Json:
        ident = self._ident(_normal(body))
        for number, one in self._live(subject):
            if one == ident:
                return self._described(subject, number, one)
        raise Refusal(40403, "Schema not found")

    def delete_subject(self, subject: str) -> Json:
        numbers = self.versions(subject)
        with self._lock:
            for number in numbers:
                self._write({"delete": subject, "version": number})
        return numbers

    def delete_version(self, subject: str, which: str) -> Json:
        number, _ = self._find(subject, which)
        with self._lock:
            self._write({"delete": subject, "version": number})
        return number

    def level(self, subject: str = "") -> Json:
        return {"compatibilityLevel": self._level(subject)}

    def set_level(self, subject: str, body: Json) -> Json:
        level = body.get("compatibility")
        if level not in ("NONE", "BACKWARD", "FORWARD", "FULL"):
            raise Refusal(42203, f"Invalid compatibility level {level!r}: NONE, BACKWARD, FORWARD or FULL")
        with self._lock:
            self._write({"level": level, "subject": subject})
        return {"compatibility": level}

    def compatible(self, subject: str, which: str, body: Json) -> Json:
        self._find(subject, which)
        complaints = self._complaints(subject, _normal(body))
        return {"is_compatible": not complaints, "messages": complaints}

    def _described(self, subject: str, number: int, ident: int) -> Json:
        return {"subject": subject, "version": number, "id": ident, **self._schemas[ident - 1]}

    def _live(self, subject: str) -> list[tuple[int, int]]:
        found = [(number, ident) for number, ident in enumerate(self._subjects.get(subject, []), 1) if ident]
        if not found:
            raise Refusal(40401, f"Subject '{subject}' not found.")
        return found

    def _find(self, subject: str, which: str) -> tuple[int, int]:
        live = self._live(subject)
        if which in ("latest", "-1"):
            return live[-1]
        for number, ident in live:
            if str(number) == which:
                return number, ident
        raise Refusal(40402, f"Version {which} not found.")

    def _ident(self, wanted: Json) -> int | None:
        return self._schemas.index(wanted) + 1 if wanted in self._schemas else None

    def _level(self, subject: str) -> str:
        return self._levels.get(subject) or self._levels.get("") or "BACKWARD"

    def _complaints(self, subject: str, wanted: Json) -> list[str]:
        level, ids = self._level(subject), [one for one in self._subjects.get(subject, []) if one]
        if level == "NONE" or not ids:
            return []
        newest = self._schemas[ids[-1] - 1]
        complaints = []
        if level in ("BACKWARD", "FULL"):
            complaints += _unreadable(writer=newest, reader=wanted)
        if level in ("FORWARD", "FULL"):
            complaints += _unreadable(writer=wanted, reader=newest)
        return complaints

    def _write(self, change: Json) -> None:
        """To disk first: what was answered is still there after a kill."""
        self._file.write(json.dumps(change) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._apply(change)

    def _apply(self, change: Json) -> None:
        match change:
            case {"register": subject, "schema": schema}:
                if schema not in self._schemas:
                    self._schemas.append(schema)
                self._subjects.setdefault(subject, []).append(self._schemas.index(schema) + 1)
            case {"delete": subject, "version": number}:
                self._subjects[subject][number - 1] = None
            case {"level": level, "subject": subject}:
                self._levels[subject] = level


def _whole_lines(file: Path) -> list[str]:
    """The lines of `file`, without the end of one that a kill cut off: it is taken out of the file too."""
    text = file.read_text() if file.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.write_text(whole)
    return whole.splitlines()


def _normal(body: Json) -> Json:
    """A schema as it is kept: Avro is the type that goes without saying."""
    kind = body.get("schemaType") or "AVRO"
    if kind not in ("AVRO", "JSON", "PROTOBUF") or not isinstance(body.get("schema"), str):
        raise Refusal(42201, "Invalid schema: a text and the type AVRO, JSON or PROTOBUF are wanted")
    if kind != "PROTOBUF":
        try:
            json.loads(body["schema"])
        except ValueError as error:
            raise Refusal(42201, f"Invalid schema: {error}") from error
    kept = {"schema": body["schema"]}
    if kind != "AVRO":
        kept["schemaType"] = kind
    if body.get("references"):
        kept["references"] = body["references"]
    return kept


def _unreadable(writer: Json, reader: Json) -> list[str]:
    """Why data of one Avro record cannot be read by another; nothing for other types."""
    if "schemaType" in writer or "schemaType" in reader:
        return []
    written, read = _fields(writer), _fields(reader)
    return [
        f"field {name!r} is new and has no default"
        if name not in written
        else f"field {name!r} has changed its type"
        for name, field in read.items()
        if (name not in written and "default" not in field)
        or (name in written and _plain(field["type"]) != _plain(written[name]["type"]))
    ]


def _fields(schema: Json) -> dict[str, Json]:
    parsed = json.loads(schema["schema"])
    return {field["name"]: field for field in parsed.get("fields", [])} if isinstance(parsed, dict) else {}


def _plain(kind: Json) -> Json:
    return kind["type"] if isinstance(kind, dict) and set(kind) == {"type"} else kind


def routes(schemas: Schemas) -> list[tuple[str, str, Callable[..., Json]]]:
    """Method, path and what answers it: the groups of the path, then the body where there is one."""
    subject, version = r"/subjects/([^/]+)", r"/subjects/([^/]+)/versions/([^/]+)"
    return [
        ("GET", r"/", dict),
        ("GET", r"/subjects", schemas.subjects),
        ("GET", rf"{subject}/versions", schemas.versions),
        ("GET", version, schemas.version),
        ("GET", rf"{version}/schema", schemas.raw),
        ("POST", rf"{subject}/versions", schemas.register),
        ("POST", subject, schemas.lookup),
        ("DELETE", subject, schemas.delete_subject),
        ("DELETE", version, schemas.delete_version),
        ("GET", r"/schemas/types", lambda: ["JSON", "PROTOBUF", "AVRO"]),
        ("GET", r"/schemas/ids/(\d+)", schemas.schema),
        ("GET", r"/schemas/ids/(\d+)/versions", schemas.users),
        ("GET", r"/config", schemas.level),
        ("GET", r"/config/([^/]+)", schemas.level),
        ("PUT", r"/config", lambda body: schemas.set_level("", body)),
        ("PUT", r"/config/([^/]+)", schemas.set_level),
        ("POST", r"/compatibility/subjects/([^/]+)/versions/([^/]+)", schemas.compatible),
        ("GET", r"/mode", lambda: {"mode": "READWRITE"}),
    ]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    table: list[tuple[str, str, Callable[..., Json]]]

    def do_GET(self) -> None:
        try:
            status, answer = 200, self._answer()
        except Refusal as refusal:
            status = int(str(refusal.code)[:3])
            answer = {"error_code": refusal.code, "message": str(refusal)}
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_DELETE = do_GET

    def _answer(self) -> Json:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        for method, pattern, answer in self.table:
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                return answer(*map(unquote, found.groups()), *self._body(raw))
        raise Refusal(404, f"HTTP 404 Not Found: {self.command} {path}")

    def _body(self, raw: bytes) -> Iterator[Json]:
        if self.command in ("POST", "PUT"):
            try:
                yield json.loads(raw)
            except ValueError as error:
                raise Refusal(400, f"not JSON: {error}") from error


def main() -> None:
    port, file = int(sys.argv[1]), Path(sys.argv[2])
    _Handler.table = routes(Schemas(file))
    ThreadingHTTPServer(("127.0.0.1", port), _Handler).serve_forever()


if __name__ == "__main__":
    main()
