"""The shape of a program.yaml, as pydantic models: what may be written, and after `resolve` what is in force.

A field that a kind of command does not take is None. Durations and sizes keep their spelling (`5s`, `256KiB`) and give
their value by `.seconds` and `.bytes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from pyrunner.program import leaves as is_
from pyrunner.program.kinds import kind_of
from pyrunner.program.leaves import Duration, Size

__all__ = [
    "Batch",
    "Breaker",
    "Command",
    "Connection",
    "Dataset",
    "Deploy",
    "Duration",
    "Metadata",
    "Program",
]
__all__ += ["Queue", "RequestLogQueue", "Scale", "ShadowQueue", "Size", "Spec", "Stream", "Tls"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Metadata(_Strict):
    """What the program is called."""

    name: is_.LowerName = Field(examples=["flight-delays"])
    """Names the program in metrics, logs, the model store and the cluster."""


class Connection(_Strict):
    """One messaging system, and how to reach it."""

    url: is_.Url = Field(examples=["embedded:"])
    """Where the system is. A secret is written ${env:NAME} or ${file:/path} and read by the bridge alone."""
    settings: dict[is_.Name, is_.Setting] = Field(default_factory=dict)
    """Further settings of the connector."""


class Dataset(_Strict):
    """One file of rows, or one query: path, or connection and query."""

    path: is_.Word | None = Field(default=None, examples=["data/history.parquet"])
    """A file or folder, relative to program.yaml."""
    connection: is_.Name | None = None
    """The connection that a query is put to, one of connections. Default: the only one."""
    query: is_.Text | None = None
    """SQL that reads; :name is a parameter. It runs in the bridge."""
    params: dict[is_.Name, is_.Setting] | None = None
    """Parameters of the query."""
    description: is_.Text | None = None
    """What it holds, for readers."""


class Stream(_Strict):
    """One topic of a connection."""

    connection: is_.Name | None = None
    """One of connections. Default: the only one."""
    topic: is_.Word | None = None
    """The name there. Default: the stream's own name."""
    description: is_.Text | None = None
    """What it carries, for readers."""
    dead_letter: is_.Name | None = None
    """The stream for events of this one that could not be scored. Default: its name with .dead."""
    format: is_.Format | None = None
    """How its payloads are written. Default: json."""
    registry: is_.Name | None = None
    """The connection to the schema registry, one of connections; of avro, protobuf and json-schema."""
    subject: is_.Word | None = None
    """The subject of results in the registry. Default: the topic with -value."""
    schema_file: is_.Word | None = Field(default=None, examples=["schemas/estimate.avsc"])
    """The schema of results, relative to program.yaml. Default: the subject's latest version."""
    register_schema: is_.Flag | None = None
    """Register the schema of schema_file. Default: false, it is only looked up."""
    message: is_.Message | None = None
    """The message of results, of protobuf. Default: the first of the schema."""


class Batch(_Strict):
    """How many events go into one call of the model."""

    events: is_.Events | None = None
    """Most events in one call of the model. auto: 256; a stream's grow while a worker is busy and answers them within 50 ms, up to 1024, by columns 4096."""
    bytes: is_.BatchBytes | None = None
    """Most bytes in one call of the model; a larger event comes alone. auto: 1 KiB for each of the events, from 256 KiB to 4 MiB."""
    linger: is_.Time | None = None
    """How long to wait for a fuller batch while a worker is free."""

    def most(self, auto: int = 256) -> tuple[int, int]:
        """The events and bytes that one call may come to have, by this number of events where it says auto."""
        events = self.events if isinstance(self.events, int) else auto
        if self.bytes is None or self.bytes == "auto":
            return events, min(max(events * 1024, 256 * 1024), 4 * 1024 * 1024)
        return events, self.bytes.bytes


class Breaker(_Strict):
    """When failures are held to be the surroundings' fault."""

    run: is_.Run | None = None
    """The number of different events that fail in a row and pause the input: then it is not the events' fault."""
    hold: is_.Time | None = None
    """How long the verdict on a failed event waits for a success, which confirms that it was the event's fault."""


class Queue(_Strict):
    """What may wait for the model."""

    rows: is_.Rows | None = None
    """Most rows that wait; then 429."""
    bytes: is_.Bytes | None = None
    """Most bytes of rows that wait; then 429."""


class Tls(_Strict):
    """With what the server says who it is. The files are read again when they change."""

    cert: is_.Word = Field(examples=["certs/tls.crt"])
    """A PEM file, relative to program.yaml: the certificate, and those between it and its authority."""
    key: is_.Word = Field(examples=["certs/tls.key"])
    """A PEM file, relative to program.yaml: the private key."""


class ShadowQueue(_Strict):
    """What may wait for the shadow."""

    events: is_.Rows | None = None
    """Most events that wait or are being scored; what does not fit is dropped and counted."""
    bytes: is_.Bytes | None = None
    """Most bytes of these events and of the answers that they are compared with."""


class RequestLogQueue(_Strict):
    """What may wait for the stream of the request log."""

    requests: is_.Rows | None = None
    """Most requests that wait to be written; what does not fit is dropped and counted."""
    bytes: is_.Bytes | None = None
    """Most bytes of their rows and answers."""


class Scale(_Strict):
    """How many replicas there are."""

    min: is_.Replicas | None = None
    """Fewest replicas."""
    max: is_.Replicas | None = None
    """Most replicas."""
    lag: is_.Lag | None = None
    """Events behind that call for one more replica."""


class Deploy(BaseModel):
    """What the operator and the manifests read. Further keys go through as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    scale: Scale | None = None
    cron: is_.Cron | None = None
    """When a job is started."""
    resources: dict[is_.Name, is_.Setting] | None = None
    """What a container asks for, such as cpu and memory."""


class Command(_Strict):
    """One thing that the program does."""

    name: is_.LowerName = Field(examples=["score-stream"])
    """train, evaluate, score-stream, serve-api, score-batch, replay, or a name of your own with a kind."""
    kind: is_.LowerName | None = None
    """The kind of a command with a name of its own; `own` for one that the program brings itself."""
    input: is_.Name | None = None
    """The stream (score-stream) or dataset that is read."""
    output: is_.Name | None = None
    """The stream or dataset that is written."""
    validation: is_.Name | None = None
    """The dataset that a trained model is measured with."""
    rejected: is_.Name | None = None
    """Where events that the model rejects are told of. Default: they are counted only."""
    dead_letter: is_.Name | None = None
    """The stream for events that could not be scored. Default: the input's."""
    workers: is_.Workers | None = None
    """Processes that hold the model; auto is one less than there are processors."""
    standby: is_.Standby | None = None
    """Further processes that hold the model, and get nothing until a worker dies: its place is then taken at once."""
    concurrency: is_.Concurrency | None = None
    """Calls of predict that a worker makes at a time, in threads: for models that wait for others, and that two threads may call."""
    batch: Batch | None = None
    order: is_.Order | None = None
    """What keeps its order: events of one key, of one partition, or none."""
    deadline: is_.Time | None = None
    """The longest that one batch may take; then the worker is ended."""
    attempts: is_.Attempts | None = None
    """Failures alone on a fresh worker before an event is a dead letter."""
    breaker: Breaker | None = None
    guarantee: is_.Guarantee | None = None
    """What is promised of each event: that its outputs are stored at-least-once, or exactly-once where the systems allow it."""
    shadow: is_.ModelRef | None = None
    """A second model, a version or alias, that scores the same events beside; how its answers differ is counted."""
    shadow_workers: is_.Processes | None = None
    """Processes that hold the shadow's model."""
    shadow_queue: ShadowQueue | None = None
    shadow_tolerance: is_.Distance | None = None
    """How far two numbers with a fraction may be apart and still count as the same."""
    versions: dict[is_.Name, is_.Weight] | None = None
    """Versions of the model, or aliases, that answer side by side, and the weight of each; 0 for one that answers only who names it. Default: latest alone."""
    route_header: is_.Header | None = None
    """The header that keeps who sends it with one version, where events have no Key. Default: the request's id."""
    models: dict[is_.LowerName, is_.Word] | None = None
    """Further models that the same server answers for: by name the program.yaml of each, relative to this one."""
    swap: is_.Swap | None = None
    """How another version comes in: beside the old one until it answers, or in its place, worker by worker, where memory is short."""
    request_log: is_.Name | None = None
    """A stream that some of the requests are written to as JSON: rows in, rows out, version, latency. Default: there is none."""
    request_log_sample: is_.Part | None = None
    """The part of requests that is written, drawn by chance."""
    request_log_queue: RequestLogQueue | None = None
    host: is_.Word | None = None
    """The address to listen on; 0.0.0.0 is all."""
    port: is_.Port | None = None
    """The port to listen on; 0 is any."""
    grpc_port: is_.Port | None = None
    """The port of the Open Inference Protocol over gRPC; 0 is any. Default: there is none."""
    max_body: is_.Bytes | None = None
    """Largest body of a request."""
    queue: Queue | None = None
    request_timeout: is_.Time | None = None
    """The longest that a request may take, its body included; then 504."""
    drain_delay: is_.Time | None = None
    """How long the server answers on after it has said that it ends, so that load balancers notice."""
    tls: Tls | None = None
    tokens: is_.Word | None = Field(default=None, examples=["/run/secrets/tokens"])
    """A file of bearer tokens, one a line, relative to program.yaml; read again when it changes. Default: nobody is asked."""
    deploy: Deploy | None = None


class Spec(_Strict):
    """The program itself."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=()
    )

    model: is_.ClassRef = Field(examples=["flight_delays.science:FlightDelays"])
    """The class that is trained and scores."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the model, by the names of its Params class."""
    model_store: is_.Name | None = None
    """The connection that keeps trained models as objects, one of connections. Default: the folder models beside program.yaml."""
    connections: dict[is_.Name, Connection] = Field(default_factory=dict)
    """Messaging systems. Default: events, the embedded broker."""
    datasets: dict[is_.Name, Dataset] = Field(default_factory=dict)
    """Files and queries that are learnt from, measured with, scored in batches."""
    streams: dict[is_.Name, Stream] = Field(default_factory=dict)
    """Topics that are read and written."""
    commands: list[Command] = Field(default_factory=list)
    """Those that are not listed exist with their defaults."""


class Program(_Strict):
    """One program: a model, what it reads and writes, and its commands."""

    apiVersion: is_.ApiVersion = Field(examples=["ds-runner.dev/v1alpha1"])
    """The version of this format."""
    kind: is_.Kind = Field(examples=["Program"])
    """What the file describes."""
    metadata: Metadata
    spec: Spec

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _folder: Path = PrivateAttr(default=Path())

    @property
    def name(self) -> str:
        return str(self.metadata.name)

    @property
    def origins(self) -> dict[str, str]:
        """Who gave each value, by path: a place in a file, `--param`, `default`, or `inferred from ...`."""
        return self._origins

    @property
    def folder(self) -> Path:
        """The folder of program.yaml, which paths of datasets start from."""
        return self._folder

    @property
    def commands(self) -> list[Command]:
        return self.spec.commands

    def command(self, name: str) -> Command:
        """The command of that name (`stream-score` is `score-stream`). Raises KeyError."""
        for wanted in (name, kind_of(name)):
            for command in self.spec.commands:
                if command.name == wanted:
                    return command
        raise KeyError(name)

    def stream(self, name: str) -> Stream:
        """The stream of that name. Raises KeyError."""
        return self.spec.streams[name]

    def dataset(self, name: str) -> Dataset:
        """The dataset of that name. Raises KeyError."""
        return self.spec.datasets[name]
