"""What each kind of command takes and what it does when it is not told.

The table goes into the JSON Schema as `x-kinds`, where the bridge reads it: `fields` names what a field refers to
(nothing: a value), `defaults` are filled in where the file is silent, and those `with` a key where that key is written.
"""

from __future__ import annotations

from typing import Any

STREAM, DATASET, EITHER, VALUE = "stream", "dataset", "stream or dataset", ""

_BATCH = {"events": 256, "bytes": "256KiB", "linger": "0ms"}
_GROWING = {"events": "auto", "bytes": "auto", "linger": "0ms"}
_BREAKER = {"run": 20, "hold": "2s"}
_REQUEST_LOG = {"request_log_sample": 0.01, "request_log_queue": {"requests": 1024, "bytes": "16MiB"}}
_SHADOW = {
    "shadow_workers": 1,
    "shadow_queue": {"events": 8192, "bytes": "16MiB"},
    "shadow_tolerance": 0,
}

KINDS: dict[str, dict[str, Any]] = {
    "train": {"fields": {"input": DATASET, "validation": DATASET}, "defaults": {}},
    "evaluate": {"fields": {"input": DATASET}, "defaults": {}},
    "score-stream": {
        "fields": {
            "input": STREAM,
            "output": STREAM,
            "rejected": STREAM,
            "dead_letter": STREAM,
            "workers": VALUE,
            "standby": VALUE,
            "batch": VALUE,
            "order": VALUE,
            "deadline": VALUE,
            "attempts": VALUE,
            "breaker": VALUE,
            "guarantee": VALUE,
            "shadow": VALUE,
            "shadow_workers": VALUE,
            "shadow_queue": VALUE,
            "shadow_tolerance": VALUE,
        },
        "defaults": {
            "workers": 1,
            "standby": 0,
            "batch": _GROWING,
            "order": "key",
            "deadline": "30s",
            "attempts": 2,
            "breaker": _BREAKER,
            "guarantee": "at-least-once",
        },
        "with": {"shadow": _SHADOW},
    },
    "serve-api": {
        "fields": {
            "host": VALUE,
            "port": VALUE,
            "grpc_port": VALUE,
            "max_body": VALUE,
            "queue": VALUE,
            "request_timeout": VALUE,
            "drain_delay": VALUE,
            "tls": VALUE,
            "tokens": VALUE,
            "workers": VALUE,
            "standby": VALUE,
            "concurrency": VALUE,
            "batch": VALUE,
            "deadline": VALUE,
            "attempts": VALUE,
            "breaker": VALUE,
            "versions": VALUE,
            "route_header": VALUE,
            "models": VALUE,
            "swap": VALUE,
            "shadow": VALUE,
            "shadow_workers": VALUE,
            "shadow_queue": VALUE,
            "shadow_tolerance": VALUE,
            "request_log": STREAM,
            "request_log_sample": VALUE,
            "request_log_queue": VALUE,
        },
        "defaults": {
            "host": "127.0.0.1",
            "port": 8080,
            "max_body": "8MiB",
            "queue": {"rows": 16384, "bytes": "64MiB"},
            "request_timeout": "10s",
            "drain_delay": "5s",
            "workers": 1,
            "standby": 0,
            "concurrency": 1,
            "batch": _BATCH,
            "deadline": "10s",
            "attempts": 2,
            "breaker": {"run": 20, "hold": "200ms"},
            "swap": "beside",
        },
        "with": {"shadow": _SHADOW, "request_log": _REQUEST_LOG},
    },
    "score-batch": {
        "fields": {
            "input": DATASET,
            "output": DATASET,
            "rejected": DATASET,
            "workers": VALUE,
            "batch": VALUE,
            "deadline": VALUE,
        },
        "defaults": {
            "workers": 1,
            "batch": {"events": 4096, "bytes": "16MiB", "linger": "0ms"},
            "deadline": "1m",
        },
    },
    "replay": {
        "fields": {
            "input": DATASET,
            "output": DATASET,
            "batch": VALUE,
            "order": VALUE,
            "deadline": VALUE,
            "attempts": VALUE,
        },
        "defaults": {"batch": _BATCH, "order": "key", "deadline": "30s", "attempts": 2},
    },
    "own": {"fields": {"input": EITHER, "output": EITHER, "validation": EITHER}, "defaults": {}},
}

COMMON_FIELDS = ("name", "kind", "deploy")
ALIASES = {"stream-score": "score-stream"}


def kind_of(name: str, kind: str = "") -> str:
    """The kind of a command: as told, else its name. Nothing for a name that is not a kind."""
    told = kind or name
    told = ALIASES.get(told, told)
    return told if told in KINDS else ""
