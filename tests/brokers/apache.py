"""Apache Kafka itself: one node that is broker and controller (KRaft), in a process that can be killed and started again.

Its programs come through Maven, once, into the cache of the user. `missing` says why there is none: tests are skipped with
that reason.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from acme.drivers.processes import die_with_parent
from tests.redis_server import free_port

VERSION: Final = "3.6.2"
START_LIMIT: Final = 90.0
"""Seconds; it takes five, on a machine that has nothing else to do."""
FETCH_LIMIT: Final = 600.0
"""Seconds for Maven to get 55 files, once."""

POM: Final = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>acme</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
    </dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
"""


def programs() -> Path:
    """The folder of the jars, fetched when it is not there.

    Raises:
        LookupError: there are none to be had; the text says why.
    """
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise LookupError(f"there is no {tool}: Apache Kafka needs a Java runtime, and Maven to fetch it")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "acme-tests"
    folder = cache / f"kafka-{VERSION}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _fetch(Path(work))
            try:
                (Path(work) / "jars").rename(folder)
            except OSError:  # another run was faster
                if not folder.exists():
                    raise
    return folder


def _fetch(work: Path) -> None:
    (work / "pom.xml").write_text(POM)
    command = ["mvn", "--batch-mode", "--quiet", "--file", str(work / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={work / 'jars'}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise LookupError("Maven did not fetch Apache Kafka in time") from None
    if done.returncode:
        raise LookupError(f"Maven could not fetch Apache Kafka: {(done.stdout + done.stderr).strip()[-300:]}")


class ApacheKafka:
    """One broker. It keeps its ports and its data over restarts."""

    def __init__(self, folder: Path, jars: Path, **settings: str) -> None:
        """`settings` are Kafka's own, with "_" for ".". Nothing runs yet."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._jars = folder, jars
        self._process: subprocess.Popen[bytes] | None = None
        self.port, controller = free_port(), free_port()
        told = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "log.dirs": str(folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            # A broker that was killed is let in again when it has been missed.
            "broker.session.timeout.ms": "1500",
            "broker.heartbeat.interval.ms": "300",
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
        (folder / "server.properties").write_text("".join(f"{name}={value}\n" for name, value in told.items()))

    @property
    def servers(self) -> str:
        """`host:port`."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """For `open_bus`."""
        return f"kafka://{self.servers}"

    def start(self) -> None:
        """Returns when it serves."""
        if not (self._folder / "data").exists():
            subprocess.run(
                self._java("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c"),
                check=True,
                capture_output=True,
                timeout=START_LIMIT,
            )
        log = self._folder / "log"
        log.touch()
        before = log.stat().st_size
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka"), stdout=output, stderr=output, preexec_fn=die_with_parent(signal.SIGKILL)
            )
        until = time.monotonic() + START_LIMIT
        while b"Kafka Server started" not in log.read_bytes()[before:]:
            said = log.read_text(errors="replace")[-2000:]
            assert time.monotonic() < until, f"it does not serve: {said}"
            assert self._process.poll() is None, f"it ended: {said}"
            time.sleep(0.02)

    def kill(self) -> None:
        """kill -9, and waits for the end of it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It keeps its connections, and answers nothing any more (SIGSTOP)."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _java(self, main: str, *arguments: str) -> list[str]:
        quiet = "-Dorg.slf4j.simpleLogger."
        return [
            "java",
            *("-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData"),
            *(f"{quiet}defaultLogLevel=warn", f"{quiet}log.kafka.server.KafkaRaftServer=info"),
            *("-cp", f"{self._jars}/*", main, *arguments, str(self._folder / "server.properties")),
        ]
