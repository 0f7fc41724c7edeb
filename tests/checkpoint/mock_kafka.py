"""librdkafka's mock cluster: it speaks Kafka's protocol, and fails as it is told to."""

import ctypes
from pathlib import Path
from types import TracebackType
from typing import Self

import confluent_kafka
from confluent_kafka import Consumer, TopicPartition

from tests.checkpoint.service import Log

OFFSET_COMMIT = 8
PRODUCER = 0


class MockKafka:
    """A cluster in this process and in memory, of one broker unless told otherwise."""

    def __init__(self, *, brokers: int = 1) -> None:
        self._brokers = brokers
        # The wheel brings its own library, which Python's interface does not show whole.
        folder = Path(confluent_kafka.__file__).parents[1] / "confluent_kafka.libs"
        [library] = folder.glob("librdkafka-*.so*")
        self._library = ctypes.CDLL(str(library))
        for name in ("rd_kafka_new", "rd_kafka_mock_cluster_new"):
            getattr(self._library, name).restype = ctypes.c_void_p
        self._library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p

    @property
    def bootstrap(self) -> str:
        """The address for a Kafka client: host:port."""
        address: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return address.decode()

    def refuse_commits(self, error: int, *, times: int) -> None:
        """Answer the next commits of offsets with this error code."""
        errors = (ctypes.c_int * times)(*[error] * times)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(OFFSET_COMMIT), ctypes.c_size_t(times), errors
        )

    def move_leader(self, log: Log, *, broker: int) -> None:
        """Have another broker, numbered from 1, hold the first partition of a log."""
        error = self._library.rd_kafka_mock_partition_set_leader(
            self._cluster, log.topic.encode(), ctypes.c_int32(0), ctypes.c_int32(broker)
        )
        assert not error

    def move_coordinator(self, log: Log, *, broker: int) -> None:
        """Have another broker coordinate the group of a log."""
        error = self._library.rd_kafka_mock_coordinator_set(
            self._cluster, b"group", log.group.encode(), ctypes.c_int32(broker)
        )
        assert not error

    def committed(self, log: Log) -> int:
        """Return the offset that a log's group has committed of its first partition."""
        settings = {"bootstrap.servers": self.bootstrap, "group.id": log.group, "log_level": 0}
        consumer = Consumer(settings)
        [found] = consumer.committed([TopicPartition(log.topic, 0)], timeout=10)
        consumer.close()
        return found.offset

    def __enter__(self) -> Self:
        error = ctypes.create_string_buffer(512)
        self._client = ctypes.c_void_p(
            self._library.rd_kafka_new(PRODUCER, None, error, ctypes.c_size_t(len(error)))
        )
        assert self._client, error.value
        cluster = self._library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        self._cluster = ctypes.c_void_p(cluster)
        assert self._cluster
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)
