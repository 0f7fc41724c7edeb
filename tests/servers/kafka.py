"""Apache Kafka: one KRaft node that is broker and controller, run from its jars."""

import base64
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from confluent_kafka import Consumer, KafkaException, TopicPartition

# The package has types, and no `__all__` that says these belong to its interface.
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # type: ignore[attr-defined]

from tests.polling import eventually
from tests.servers.jars import kafka_jars
from tests.servers.machine import ServerUnavailableError, find_program, free_port
from tests.servers.process import run
from tests.servers.server import Server

_LOGGING = """\
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class Kafka(Server):
    """Apache Kafka; `properties` are added to, or replace, those of its server.properties."""

    not_ready: ClassVar = (KafkaException, ConnectionError)

    def __init__(
        self, folder: Path | None = None, *, properties: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder)
        self._controller_port = free_port()
        self._properties = properties or {}

    @property
    def bootstrap(self) -> str:
        """The address for a Kafka client: host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def broker_url(self) -> str:
        """The address for Faust."""
        return f"kafka://{self.bootstrap}"

    def create_topic(
        self, name: str, partitions: int = 4, config: Mapping[str, str] | None = None
    ) -> None:
        """Create the topic and return once every partition has a leader."""
        with self._admin() as admin:
            admin.create_topics([NewTopic(name, partitions, 1, config=dict(config or {}))])[
                name
            ].result()

            def every_partition_has_a_leader() -> None:
                found = admin.list_topics(name, timeout=10).topics[name].partitions
                assert len(found) == partitions
                assert all(partition.leader >= 0 for partition in found.values())

            eventually(every_partition_has_a_leader)

    def committed(self, group: str) -> dict[tuple[str, int], int]:
        """Return the group's committed offset of every (topic, partition) that has one."""
        # Not AdminClient.list_consumer_group_offsets: librdkafka ends the whole process with a
        # segmentation fault when the broker that it asks is not the group's coordinator (yet).
        with self._member(group) as consumer:
            topics = consumer.list_topics(timeout=10).topics.values()
            asked = [TopicPartition(topic.topic, at) for topic in topics for at in topic.partitions]
            found = consumer.committed(asked, timeout=10)
            return {(at.topic, at.partition): at.offset for at in found if at.offset >= 0}

    def end_offsets(self, topic: str) -> dict[tuple[str, int], int]:
        """Return, for every (topic, partition), the offset that its next message will have."""
        with self._admin() as admin:
            partitions = admin.list_topics(topic, timeout=10).topics[topic].partitions
            end = OffsetSpec.latest()  # type: ignore[no-untyped-call]
            wanted = {TopicPartition(topic, partition): end for partition in partitions}
            found = admin.list_offsets(wanted).items()
            return {
                (place.topic, place.partition): answer.result().offset for place, answer in found
            }

    def _prepare(self) -> None:
        settings = self.folder / "server.properties"
        settings.write_text(
            "".join(f"{name}={value}\n" for name, value in self._settings().items())
        )
        (self.folder / "log4j2.properties").write_text(_LOGGING)
        if not self._data.exists():
            self._format(settings)

    def _format(self, settings: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = self._java("128m", "kafka.tools.StorageTool")
        # One in 64 begins with "-", and would be taken for an option if it stood alone.
        options = [f"--cluster-id={cluster}", f"--config={settings}"]
        try:
            run([*tool, "format", *options], folder=self.folder)
        except ChildProcessError as error:
            if "UnsupportedClassVersionError" in str(error):
                message = "Apache Kafka needs Java 17 or newer"
                raise ServerUnavailableError(message) from error
            raise

    def _command(self) -> list[str]:
        return [*self._java("512m", "kafka.Kafka"), str(self.folder / "server.properties")]

    def _probe(self) -> None:
        with self._admin() as admin:
            cluster = admin.list_topics(timeout=1).cluster_id
        if f"cluster.id={cluster}\n" not in (self._data / "meta.properties").read_text():
            message = f"port {self.port} belongs to another broker"
            raise ConnectionError(message)
        # Of use only when it also answers for consumer groups, whose offsets it loads last.
        with self._member("readiness") as consumer:
            consumer.committed([TopicPartition("readiness", 0)], timeout=10)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _java(self, heap: str, main: str) -> list[str]:
        java = find_program("java")
        logging = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        return [str(java), f"-Xmx{heap}", logging, "-cp", f"{kafka_jars()}/*", main]

    def _admin(self) -> AdminClient:
        return AdminClient(self._client())

    def _member(self, group: str) -> Consumer:
        return Consumer({**self._client(), "group.id": group})

    def _client(self) -> dict[str, str | int | float | bool]:
        # Silent: that nobody listens yet is the usual answer of a broker that is starting.
        return {
            "bootstrap.servers": self.bootstrap,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,
        }

    def _settings(self) -> dict[str, str]:
        controller = f"127.0.0.1:{self._controller_port}"
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{controller}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(self._data),
            "num.partitions": "4",
            "offsets.topic.num.partitions": "1",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            # Lets tests choose less than 6 s until a killed worker's partitions move on.
            "group.min.session.timeout.ms": "500",
            # A killed broker cannot come back before its session is over: 9 s by default.
            "broker.session.timeout.ms": "2000",
            "broker.heartbeat.interval.ms": "200",
            # 1 MiB by default, less than some services send.
            "message.max.bytes": "100000000",
            # 128 MiB by default, a quarter of the heap.
            "log.cleaner.dedupe.buffer.size": "4194304",
            # 15 s by default: so long would a test of a compacted topic wait for its gaps.
            "log.cleaner.backoff.ms": "200",
            **self._properties,
        }
