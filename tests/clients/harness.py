"""How checks in the clients' environment are run and told of. Nothing of ours is there: this file, and those that import it, stand alone."""

from __future__ import annotations

import json
import sys
import traceback
from types import SimpleNamespace
from typing import Any

AT = SimpleNamespace(readings_http="", readings_grpc="", points_http="", points_grpc="")


def run(checks: dict[str, Any], *prefixes: str) -> None:
    """Runs the functions with these prefixes; a line of JSON on standard output says of each how it went."""
    AT.readings_http, AT.readings_grpc, AT.points_http, AT.points_grpc = sys.argv[1:]
    for name, check in checks.items():
        if not name.startswith(prefixes):
            continue
        try:
            check()
            problem = ""
        except BaseException:
            problem = traceback.format_exc()
        print(json.dumps({"check": name, "problem": problem}), flush=True)
