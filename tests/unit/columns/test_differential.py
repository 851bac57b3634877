"""Generated events and answers, by the bridge's Go and by Python: one verdict, one value, one spelling.

Plans, payloads and their damage are drawn from a seed that a failure names. `DS_DIFFERENTIAL=1000` runs as many rounds.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from pyrunner import Model
from pyrunner.columns import compose
from pyrunner.columns.patterns import same_everywhere
from pyrunner.columns.plan import path_of
from pyrunner.columns.read import read
from pyrunner.columns.write import BodyWriter
from pyrunner.schema import schema_of
from pyrunner.scoring.decode import EventDecoder
from pyrunner.signature import read_signature
from tests.unit.scoring.eventvectors import class_of, told

ROOT = Path(__file__).parents[3]
ROUNDS = int(os.environ.get("DS_DIFFERENTIAL", "12"))
EVENTS = 200

Ask = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture(scope="module")
def go(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    binary = tmp_path_factory.mktemp("gocolumns") / "gocolumns"
    build = ["go", "build", "-buildvcs=false", "-o", str(binary), "./tests/unit/columns/gocolumns"]
    subprocess.run(build, cwd=ROOT, check=True)
    with subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None

        def ask(question: dict[str, Any]) -> dict[str, Any]:
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            answer: dict[str, Any] = json.loads(process.stdout.readline())
            assert "error" not in answer, answer["error"]
            return answer

        yield ask
        process.stdin.close()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_events(go: Ask, seed: int) -> None:
    draw = Draw(seed)
    columns = draw.plan()
    schema = schema_of(class_of(columns))
    plan = plan_of(schema.cls)
    decoder = EventDecoder(schema)
    payloads = [draw.payload(columns) for _ in range(EVENTS)]
    answer = go({"describe": {"columns": plan}, "events": [_base64(p) for p in payloads]})
    rows, names = [], {}
    for payload, taken in zip(payloads, answer["taken"], strict=True):
        before = dict(decoder.unknown)
        decoded = decoder.each([payload])
        assert not taken or not decoded.failures, (columns, payload)
        if not taken and not decoded.failures:
            assert _may_be_misfit(columns, payload), (columns, payload)
        if taken:
            rows.append(decoded.events[0])
            for name, n in decoder.unknown.items():
                if n > before.get(name, 0):
                    names[name] = names.get(name, 0) + 1
    body = memoryview(bytearray(base64.b64decode(answer.get("body", ""))))
    found = read(schema, answer.get("layout", []), len(rows), body).events()
    for got, event in zip(found, rows, strict=True):
        assert _exactly(columns, got) == _exactly(columns, event), columns
    said = {u["Name"]: u["N"] for u in answer.get("unknown", [])}
    assert said == names if len(names) <= 16 else said.items() <= names.items()


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_answers(go: Ask, seed: int) -> None:
    draw = Draw(seed)
    columns = draw.plan()
    cls = class_of(columns)
    fields = schema_of(cls).fields
    outputs = [cls(**{f["name"]: draw.value(f) for f in columns["fields"]}) for _ in range(EVENTS)]
    writer = BodyWriter()
    for field in fields:
        compose.write(writer, field, [getattr(output, field.name) for output in outputs])
    describe = {"columns": plan_of(cls)}
    answer = go(
        {"describe": describe, "rows": EVENTS, "layout": writer.layout, "body": _base64(writer.body())}
    )
    for document, output in zip(answer["documents"], outputs, strict=True):
        assert base64.b64decode(document) == msgspec.json.encode(output)


def plan_of(cls: Any) -> dict[str, Any]:
    """What a worker whose model takes and gives this class tells the bridge."""

    class Echo(Model[cls, cls]):  # type: ignore[valid-type]
        def predict(self, X: dict[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
            return X

    path = path_of(read_signature(Echo))
    assert path.plan is not None, path.reasons
    said = path.plan.said
    if said["outputs"] is None:  # its texts have lengths, which answers are held to in Python
        assert path.lines
        said = {**said, "outputs": [{k: v for k, v in f.items() if k in _OUTPUT} for f in said["fields"]]}
    return said


_OUTPUT = ("name", "wire", "kind", "nullable", "choices")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _may_be_misfit(columns: dict[str, Any], payload: bytes) -> bool:
    """What the bridge leaves to Python though it is an event: see package columns."""
    plain = payload.isascii() and b"\\" not in payload
    return (
        (not plain and any("pattern" in field for field in columns["fields"]))
        or payload.count(b"[") + payload.count(b"{") > 60
        or b'"0001-01-01' in payload
        or b'"9999-12-31' in payload
    )


def _exactly(columns: dict[str, Any], event: Any) -> str:
    return repr(told(columns, event))


class Draw:
    """Everything that is random, from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def plan(self) -> dict[str, Any]:
        kinds = ["float", "int", "bool", "str", "category", "datetime", "date"]
        fields = [self._field(i, self._random.choice(kinds)) for i in range(self._random.randint(1, 14))]
        return {"unknown": self._random.choice(["skip", "skip", "refuse"]), "outputs": None, "fields": fields}

    def _field(self, i: int, kind: str) -> dict[str, Any]:
        wire = self._random.choice([f"f{i}", f"field {i}", f"{i}fält", f"{i}" * 20, f"f{i}"])
        field: dict[str, Any] = {
            "name": f"f{i}", "wire": wire, "kind": kind, "nullable": self._random.random() < 0.3,
        }  # fmt: skip
        if kind == "category":
            field["choices"] = self._random.choice([["a", "b"], ["", "ä", "long " * 9], [1, 2, -3], ["1", 1]])
        if self._random.random() < 0.3:
            value = self.value(field)
            plain = value.isoformat() if isinstance(value, datetime.date) else value
            field["default"] = plain.replace("+00:00", "Z") if isinstance(plain, str) else plain
        if kind in ("float", "int") and self._random.random() < 0.3:
            field[self._random.choice(["gt", "ge", "lt", "le"])] = self._random.choice([-1, 0, 7])
        if kind in ("float", "int") and self._random.random() < 0.1:
            field["multiple_of"] = self._random.choice([1, 2, 3] if kind == "int" else [1, 0.5, 0.01])
        if kind == "str" and self._random.random() < 0.2:
            field["pattern"] = self._random.choice(
                [r"^[a-z]*$", r"\d", "a|b", r"^.?$", r"\w+-", r"\bb", r"^\S*$"]
            )
        if kind == "str" and self._random.random() < 0.2:
            field["max_length"] = self._random.randint(1, 9)
        return field

    def value(self, field: dict[str, Any]) -> Any:
        """A value of the field's type, or None."""
        if field["nullable"] and self._random.random() < 0.2:
            return None
        kind = field["kind"]
        if kind == "category":
            return self._random.choice(field["choices"])
        if kind in ("datetime", "date"):
            us = self._random.choice([0, self._random.randrange(-(10**15), 10**16), 86_400_000_000 * 365])
            at = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=us)
            return at if kind == "datetime" else at.date()
        return {
            "float": self._float,
            "int": self._int,
            "bool": lambda: self._random.random() < 0.5,
            "str": self._text,
        }[kind]()

    def _float(self) -> float:
        r = self._random
        exact = math.ldexp(r.getrandbits(53), r.randint(-1074, 900))
        value = r.choice(
            [0.0, r.random(), r.randrange(1000), r.gauss(0, 1e6), round(r.random() * 100, 2), exact]
        )
        return float(-value if r.random() < 0.3 else value)

    def _int(self) -> int:
        r = self._random
        return r.choice([0, 1, -1, r.randrange(1000), r.randrange(-(2**63), 2**63), 2**63 - 1, -(2**63)])

    def _text(self) -> str:
        r = self._random
        alphabet = r.choice(["ab", 'abc "\\/\n\t\x00\x1f', "äöü€😀\u2028\ufffe", "0123456789-:TZ"])
        return "".join(r.choice(alphabet) for _ in range(r.choice([0, 1, 3, 7, 8, 9, 30])))

    def payload(self, columns: dict[str, Any]) -> bytes:
        """An event of the plan, spelt in some way, and often damaged."""
        r = self._random
        pairs = [
            (f["wire"], self._spelt(f)) for f in columns["fields"] if "default" not in f or r.random() < 0.7
        ]
        if r.random() < 0.2:
            r.shuffle(pairs)
        if pairs and r.random() < 0.1:
            pairs.append(r.choice(pairs))
        if r.random() < 0.2:
            pairs.insert(
                r.randint(0, len(pairs)), (r.choice(["x", "y", "ü", self._text()]), self._anything(0))
            )
        comma, colon = r.choice([(",", ":"), (", ", ": "), (" ,\n ", "\t:\r")])
        text = comma.join(f"{self._quoted(name)}{colon}{value}" for name, value in pairs)
        payload = f"{{{text}}}".encode()
        return self._damaged(payload) if r.random() < 0.3 else payload

    def _spelt(self, field: dict[str, Any]) -> str:
        r = self._random
        if r.random() < 0.05:
            return self._anything(0)
        value = self.value(field)
        if isinstance(value, datetime.datetime):
            return json.dumps(self._time(value))
        if isinstance(value, datetime.date):
            return json.dumps(value.isoformat())
        if isinstance(value, float) and r.random() < 0.3:
            return r.choice([f"{value:.25g}", f"{value:e}", f"{value:.3f}", f"{value:.17E}", str(int(value))])
        return self._quoted(value) if isinstance(value, str) else json.dumps(value)

    def _time(self, at: datetime.datetime) -> str:
        r = self._random
        zone = datetime.timezone(datetime.timedelta(minutes=r.randrange(-1439, 1440)))
        text = r.choice([at, at.astimezone(zone)]).isoformat(sep=r.choice("Tt "))
        return text.replace("+00:00", r.choice(["Z", "z", "+0000", "-00:00", "4567Z"]))

    def _quoted(self, text: str) -> str:
        return json.dumps(text, ensure_ascii=self._random.random() < 0.5)

    def _anything(self, depth: int) -> str:
        r = self._random
        scalars = [
            "null",
            "true",
            "1",
            "-0",
            "1.5",
            "1e400",
            "01",
            "NaN",
            '"x"',
            '"\\ud800"',
            "18446744073709551616",
            "1" * 30,
        ]
        if depth > 4 or r.random() < 0.6:
            return r.choice(scalars)
        inner = [self._anything(depth + 1) for _ in range(r.randint(0, 3))]
        if r.random() < 0.5:
            return "[" + ",".join(inner) + "]"
        return "{" + ",".join(f'"{i}":{value}' for i, value in enumerate(inner)) + "}"

    def _damaged(self, payload: bytes) -> bytes:
        r = self._random
        at = r.randrange(len(payload))
        damage = r.choice(
            [b"", b"\xff", b"\xc3", b"\x00", b'"', b"\\", b",", b"}", b"0", b"-", b".", b"e", b" "]
        )
        return r.choice(
            [payload[:at], payload[:at] + damage + payload[at + 1 :], payload[:at] + damage + payload[at:]]
        )


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_patterns(go: Ask, seed: int) -> None:
    """A pattern that is said to be the same everywhere is one that RE2 has, and finds in the same texts of printable ASCII."""
    r = random.Random(seed)
    for _ in range(40):
        pattern = _pattern(r)
        if not same_everywhere(pattern):
            continue
        columns = {
            "unknown": "skip",
            "outputs": None,
            "fields": [{"name": "s", "kind": "str", "pattern": pattern}],
        }
        texts = ["".join(r.choice("ab-]{1 2,}_^$.[\\~") for _ in range(r.randint(0, 5))) for _ in range(40)]
        texts += ["a" * n for n in range(5)] + ["a\n", "\u0661", "\x1f", "\x7f"]
        events = [_base64(json.dumps({"s": text}).encode()) for text in texts]
        taken = go({"describe": {"columns": columns}, "events": events})["taken"]
        found = [
            text.isascii() and text.isprintable() and re.search(pattern, text) is not None for text in texts
        ]
        assert taken == found, (pattern, texts)


def _pattern(r: random.Random) -> str:
    pieces = r.choice(
        [
            ["a", "b", "-", "]", "[", "^", "$", "(", ")", "|", "*", "+", "?", "{", "}", ",", "1", "0", "2", "\\", "d", "A"],
            ["a", "b", "[ab]", "[^a]", "[a-b1-2]", "(", "(?:", ")", "|", "*", "+?", "??", "{2}", "{1,2}", "{0,}", r"\d", r"\b", r"\W"],
            ["[", "]", "[]", "[^", "-", "a", "b", r"\w", r"\]", r"\-", "--", "&&", "1", "_", "^"],
            ["a", "b", "{", "}", "{1", "{01}", "{,2}", "{1,", "{ 1}", r"\{", ",", "2", "1"],
        ]
    )  # fmt: skip
    return "".join(r.choice(pieces) for _ in range(r.randint(0, 8)))


def test_what_is_drawn_is_worth_drawing(go: Ask) -> None:
    """Neither all of it is refused nor none."""
    taken: list[bool] = []
    for seed in range(20):
        draw = Draw(seed)
        columns = draw.plan()
        payloads = [_base64(draw.payload(columns)) for _ in range(EVENTS)]
        taken += go({"describe": {"columns": columns}, "events": payloads})["taken"]
    assert 0.2 < sum(taken) / len(taken) < 0.8
