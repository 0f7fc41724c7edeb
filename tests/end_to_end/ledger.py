"""What the broker has taken: the yardstick for what must come out of the service."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from tests.end_to_end.journal import Place
from tests.servers import Kafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Produced:
    """A message that the broker has acknowledged."""

    place: Place
    key: bytes | None
    value: bytes | None


class Ledger:
    """Produces, and remembers a message only after the broker's acknowledgement."""

    def __init__(self, kafka: Kafka) -> None:
        self.entries: list[Produced] = []
        settings: dict[str, Any] = {
            "bootstrap.servers": kafka.bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": 100_000_000,
            "log_level": 0,
        }
        self._producer = Producer(settings)
        self._errors: list[KafkaError] = []

    def produce(
        self,
        topic: str,
        values: Sequence[bytes | None],
        *,
        keys: Sequence[bytes | None] = (None,),
        headers: Sequence[tuple[str, bytes | None]] = (),
        partition: int = -1,
    ) -> None:
        """Produce the values, with each of the keys in turn; return once the broker has them."""
        for number, value in enumerate(values):
            self._producer.produce(
                topic,
                value,
                keys[number % len(keys)],
                partition=partition,
                headers=list(headers),
                on_delivery=self._remember,
            )
            self._producer.poll(0)
        assert self._producer.flush(30) == 0
        assert not self._errors

    def _remember(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._errors.append(error)
            return
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert partition is not None
        assert offset is not None
        self.entries.append(
            Produced(
                place=Place(topic, partition, offset), key=message.key(), value=message.value()
            )
        )
