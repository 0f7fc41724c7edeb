"""The events of every case: orders as a shop publishes them, 308 bytes of JSON, no two alike."""

import random
import sys
from collections.abc import Iterator
from itertools import islice
from uuid import UUID

import orjson
from confluent_kafka import Producer

PARTITIONS = 4
SIZE = 308
"""Bytes of one event."""
BUFFERED_BYTES = 64 * 1024 * 1024
"""Of what is on its way to the broker."""


def orders(count: int, size: int = SIZE) -> Iterator[tuple[bytes, bytes]]:
    """Yield the key and value of so many events, the same in every run."""
    chance = random.Random(SIZE)  # noqa: S311 - not for secrets
    for number in range(count):
        name = str(UUID(int=chance.getrandbits(128), version=4))
        order = {
            "id": name,
            "type": "order_placed",
            "version": 1,
            "time": f"2025-03-{number % 28 + 1:02}T{number % 24:02}:07:09.125000+00:00",
            "customer": f"customer-{chance.randrange(100_000):05}",
            "items": [
                {"sku": f"SKU-{chance.randrange(10_000):04}", "quantity": 1, "cents": 1999},
                {"sku": f"SKU-{chance.randrange(10_000):04}", "quantity": 2, "cents": 499},
            ],
            "currency": "EUR",
            "note": "",
        }
        order["note"] = "x" * (size - len(orjson.dumps(order)))
        yield name.encode(), orjson.dumps(order)


class Filler:
    """Fills a topic with orders, so many of its partitions in turn."""

    def __init__(
        self, bootstrap: str, topic: str, *, size: int = SIZE, partitions: int = PARTITIONS
    ) -> None:
        self.produced = 0
        self._topic = topic
        self._partitions = partitions
        self._orders = orders(sys.maxsize, size)
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "linger.ms": 50,
                "queue.buffering.max.messages": BUFFERED_BYTES // size,
            }
        )

    def produce(self, count: int) -> None:
        """Produce so many more events.

        Raises:
            TimeoutError: the broker does not take them.
        """
        for key, value in islice(self._orders, count):
            self._send(key, value, self.produced % self._partitions)
            self.produced += 1
        if self._producer.flush(60):
            message = f"{self._topic} cannot be filled"
            raise TimeoutError(message)

    def _send(self, key: bytes, value: bytes, partition: int) -> None:
        while True:
            try:
                return self._producer.produce(self._topic, value, key, partition=partition)
            except BufferError:
                self._producer.poll(1)


def produce(bootstrap: str, topic: str, count: int) -> None:
    """Fill a topic of four partitions in turn."""
    Filler(bootstrap, topic).produce(count)
