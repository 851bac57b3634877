"""Servers as children of this process, for machines without a container engine."""

from .kafka import Kafka
from .nats import Nats
from .postgres import Postgres
from .redis import Redis
from .registry import Registry
from .s3 import S3

KINDS = {kind.name: kind for kind in (Kafka, Nats, Redis, Postgres, S3, Registry)}

__all__ = ["KINDS"]
