"""Kafka, one KRaft node, from the jars of Maven Central."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from .. import probes, settings
from ..cache import cached
from ..needs import program, run
from ..ports import free_port
from .process import ProcessComponent

_HERE = Path(__file__).parent
_POM = _HERE / "pom.xml"
JAVA_PACKAGE = "openjdk-17-jre-headless"


class Kafka(ProcessComponent):
    name = "kafka"
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

    def prepare(self) -> None:
        self._proxied, self._proxy = free_port(), free_port()
        home = installed()
        listeners = settings.kafka_listeners(
            "127.0.0.1", self.port, self._proxied, free_port(), free_port(), self.port, self._proxy
        )
        _write(self.folder / "server.properties", listeners, self.folder / "data")
        shutil.copytree(home / "formatted", self.folder / "data")

    def command(self) -> Sequence[str]:
        home = installed()
        return _java(home, "-Xmx512m", "-Xms256m", "kafka.Kafka", str(self.folder / "server.properties"))


def installed() -> Path:
    """The jars and a formatted, empty data folder, under the version's name."""
    version = re.search(r"kafka_[\d.]+</artifactId>\s*<version>([^<]+)", _POM.read_text())
    assert version
    return cached(f"kafka-{version[1]}", _make)


def _make(home: Path) -> None:
    program("java", [JAVA_PACKAGE])
    maven = program("mvn", ["maven", JAVA_PACKAGE])
    fetch = ["-q", "-B", "-f", str(_POM), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    run([maven, *fetch, f"-DoutputDirectory={home / 'libs'}"], "fetching Kafka by Maven")
    (home / "conf").mkdir()
    shutil.copy(_HERE / "log4j2.xml", home / "conf")
    conf = home / "conf" / "format.properties"
    _write(
        conf, settings.kafka_listeners("127.0.0.1", 9092, 9095, 9094, 9093, 9092, 9096), home / "formatted"
    )
    format_it = _java(
        home, "kafka.tools.StorageTool", "format", "-t", settings.KAFKA_CLUSTER, "-c", str(conf)
    )
    run(format_it, "formatting Kafka's data folder")


def _java(home: Path, *arguments: str) -> list[str]:
    return [
        program("java", [JAVA_PACKAGE]),
        *settings.QUICK_JAVA,
        "-cp",
        f"{home}/conf{os.pathsep}{home}/libs/*",
        *arguments,
    ]


def _write(path: Path, listeners: dict[str, str], data: Path) -> None:
    lines = {**settings.KAFKA, **listeners, "log.dirs": str(data)}
    path.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
