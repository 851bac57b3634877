"""How the servers of a test are set up, the same wherever they run."""

from __future__ import annotations

from collections.abc import Mapping

# Changed rows are read from the log (logical); batteries of several packages connect at once.
POSTGRES: Mapping[str, str] = {
    "wal_level": "logical",
    "max_connections": "200",
    "max_replication_slots": "50",
    "max_wal_senders": "50",
    "fsync": "on",
}

# No snapshots: what is there after a kill comes from the log of appends, which is written after each command.
REDIS = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")

KAFKA_CLUSTER = "5L6g3nShT-eMCtK--X86sw"

# Java for a quick start rather than for a high rate.
QUICK_JAVA = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")

# One node is a whole cluster: what is replicated has one copy. Groups form and a lost broker is noticed at once, and a
# client may ask for short sessions, because tests wait for exactly that.
KAFKA: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "inter.broker.listener.name": "BROKER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT",
    "num.partitions": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "group.consumer.min.session.timeout.ms": "500",
    "group.consumer.min.heartbeat.interval.ms": "100",
    "auto.create.topics.enable": "false",
    "log.segment.bytes": "16777216",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "300",
    "controller.quorum.election.timeout.ms": "200",
}


def kafka_listeners(
    host: str, client: int, proxied: int, own: int, controller: int, advertised: int, behind_proxy: int
) -> dict[str, str]:
    """The listeners that wait on `host`: `client` for ordinary clients, told to come back to `advertised`; `proxied` for
    those behind a proxy, told to come back to `behind_proxy`; `own` and `controller` for the broker alone.

    The broker is a client of itself (transactions): it may not depend on a port that is published elsewhere.
    """
    return {
        "listeners": f"PLAINTEXT://{host}:{client},PROXIED://{host}:{proxied},"
        f"BROKER://127.0.0.1:{own},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{advertised},PROXIED://127.0.0.1:{behind_proxy},"
        f"BROKER://127.0.0.1:{own}",
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
    }
