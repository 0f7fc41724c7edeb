"""The events of every case: orders as a shop publishes them, 308 bytes of JSON, no two alike."""

import random
from collections.abc import Iterator
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


def produce(
    bootstrap: str, topic: str, count: int, *, size: int = SIZE, partitions: int = PARTITIONS
) -> None:
    """Fill a topic, so many of its partitions in turn.

    Raises:
        TimeoutError: the broker does not take the events.
    """
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "queue.buffering.max.messages": BUFFERED_BYTES // size,
            "message.max.bytes": 2 * size + 1_000_000,
        }
    )
    for number, (key, value) in enumerate(orders(count, size)):
        while True:
            try:
                producer.produce(topic, value, key, partition=number % partitions)
                break
            except BufferError:
                producer.poll(1)
    if producer.flush(60):
        message = f"{topic} cannot be filled"
        raise TimeoutError(message)
