"""Servers as children of this process, for machines without a container engine."""

from .kafka import Kafka
from .nats import Nats
from .postgres import Postgres
from .redis import Redis

KINDS = {kind.name: kind for kind in (Kafka, Nats, Redis, Postgres)}

__all__ = ["KINDS"]
