"""The events of every case: orders as a shop publishes them, 308 bytes of JSON, no two alike."""

import random
from collections.abc import Iterator
from uuid import UUID

import orjson
from confluent_kafka import Producer

PARTITIONS = 4
SIZE = 308
"""Bytes of one event."""


def orders(count: int) -> Iterator[tuple[bytes, bytes]]:
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
        order["note"] = "x" * (SIZE - len(orjson.dumps(order)))
        yield name.encode(), orjson.dumps(order)


def produce(bootstrap: str, topic: str, count: int) -> None:
    """Fill a topic, its partitions in turn."""
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "linger.ms": 50,
            "queue.buffering.max.messages": count + 1,
            "queue.buffering.max.kbytes": count + 2**20,
        }
    )
    for number, (key, value) in enumerate(orders(count)):
        producer.produce(topic, value, key, partition=number % PARTITIONS)
    if producer.flush(60):
        message = f"{topic} cannot be filled"
        raise TimeoutError(message)
