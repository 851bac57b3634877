"""The containers: official images, told their settings as their documentation says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

from .. import probes, s3api, settings
from ..ports import free_port
from .container import ContainerComponent


class Kafka(ContainerComponent):
    """apache/kafka and confluentinc/cp-kafka alike: KAFKA_FOO_BAR is foo.bar."""

    name = "kafka"
    image = "apache/kafka:4.1.0"
    inner_port = 9092
    probe = staticmethod(probes.kafka)

    def __init__(self) -> None:
        super().__init__()
        self._proxied = self._proxy = 0

    @property
    def url(self) -> str:
        return f"kafka://127.0.0.1:{self.port}"

    def behind_proxy(self) -> tuple[int, int]:
        """A listener of its own: a client goes where the broker says it is, so the broker must name the proxy."""
        return self._proxied, self._proxy

    def start(self) -> Self:
        self._proxied, self._proxy = free_port(), free_port()
        return super().start()

    def ports(self) -> Mapping[int, int]:
        return {9092: self.port, 9095: self._proxied}

    def environment(self) -> Mapping[str, str]:
        listeners = settings.kafka_listeners("0.0.0.0", 9092, 9095, 9094, 9093, self.port, self._proxy)
        named = {**settings.KAFKA, **listeners, "log.dirs": "/tmp/kafka-logs"}
        return {
            **{f"KAFKA_{key.replace('.', '_').upper()}": value for key, value in named.items()},
            "CLUSTER_ID": settings.KAFKA_CLUSTER,
            "KAFKA_HEAP_OPTS": "-Xmx512m -Xms256m",
            "KAFKA_JVM_PERFORMANCE_OPTS": " ".join(settings.QUICK_JAVA),
        }


class Nats(ContainerComponent):
    name = "nats"
    image = "nats:2.12"
    inner_port = 4222
    probe = staticmethod(probes.nats)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return ("-js", "-sd", "/data")


class Redis(ContainerComponent):
    name = "redis"
    image = "redis:7.4"
    inner_port = 6379
    probe = staticmethod(probes.redis)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str]:
        return ("redis-server", "--protected-mode", "no", *settings.REDIS)


class Postgres(ContainerComponent):
    name = "postgres"
    image = "postgres:17"
    inner_port = 5432
    probe = staticmethod(probes.postgres)

    @property
    def url(self) -> str:
        return f"postgres://test@127.0.0.1:{self.port}/test"

    def environment(self) -> Mapping[str, str]:
        return {"POSTGRES_USER": "test", "POSTGRES_DB": "test", "POSTGRES_HOST_AUTH_METHOD": "trust"}

    def command(self) -> Sequence[str]:
        return (
            "postgres",
            *(flag for key, value in settings.POSTGRES.items() for flag in ("-c", f"{key}={value}")),
        )


class S3(ContainerComponent):
    name = "s3"
    image = "minio/minio:latest"
    inner_port = 9000
    probe = staticmethod(probes.s3)

    @property
    def url(self) -> str:
        return s3api.url(self.port)

    def after_start(self) -> None:
        s3api.make_bucket(self.port)

    def environment(self) -> Mapping[str, str]:
        return {"MINIO_ROOT_USER": s3api.KEY, "MINIO_ROOT_PASSWORD": s3api.SECRET}

    def command(self) -> Sequence[str]:
        return ("server", "/data")


KINDS = {kind.name: kind for kind in (Kafka, Nats, Redis, Postgres, S3)}
