"""Messages that keep coming while the soak runs: good, slow, failing, retried, sent twice."""

import random
from functools import partial
from typing import Any

import orjson
from confluent_kafka import KafkaError, Message, Producer

from tests.faults.soak.book import Book, Numbered

BACKLOG = 1500
"""About so many messages wait at any time."""
AGENTS = {
    "plain": 0.3,
    "transactional": 0.3,
    "keyed": 0.25,
    "failing": 0.09,
    "flaky": 0.01,
    "killing": 0.05,
}
"""Which share of the messages each agent gets."""
UNFAILING = {"plain", "transactional", "keyed"}
HANDLER_SECONDS = (0.0, 0.001, 0.001, 0.002, 0.1)
TWINS = 0.02
"""Which share of the events of those that never fail is sent a second time."""


class Load:
    """Produces, and writes into the book what the broker has acknowledged."""

    def __init__(self, bootstrap: str, book: Book, group: str, dice: random.Random) -> None:
        self._book, self._group, self._dice = book, group, dice
        self._next = book.next_number()
        self._in_producer = 0
        settings: dict[str, Any] = {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": True,
            "linger.ms": 5,
            # A broker that is away for long costs no message.
            "message.timeout.ms": 600_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
        self._producer = Producer(settings)

    def refill(self, waiting: int) -> None:
        """Produce what is missing to the backlog; do not wait for the broker."""
        for agent in self._dice.choices(
            list(AGENTS), list(AGENTS.values()), k=max(0, BACKLOG - waiting - self._in_producer)
        ):
            twice = agent in UNFAILING and self._dice.random() < TWINS
            self._produce(agent, times=1 + twice)
        self._producer.poll(0)

    def listen(self) -> None:
        """Hear what the broker has acknowledged."""
        self._producer.poll(0)

    def send_a_killer(self) -> Numbered:
        """Produce an event that ends each process that handles it."""
        return self._produce("killing", kills=True)

    def finish(self) -> None:
        """Return once the broker has taken everything.

        Raises:
            TimeoutError: it has not within a minute.
        """
        if self._producer.flush(60) or self._in_producer:
            message = f"the broker has not taken {self._in_producer} messages"
            raise TimeoutError(message)
        self._book.save()

    def _produce(self, agent: str, *, times: int = 1, kills: bool = False) -> Numbered:
        event = Numbered(f"{self._group}.{agent}", self._next)
        self._next += 1
        payload = {
            "id": event.number,
            "seconds": self._dice.choice(HANDLER_SECONDS),
            "failures": self._dice.choice((1, 1, 2)),
            "kills": kills,
        }
        for _ in range(times):
            self._in_producer += 1
            self._producer.produce(
                event.topic,
                orjson.dumps(payload),
                # Both of a pair go to one partition: elsewhere, plain handlers run side by side.
                b"key-%d" % event.key,
                on_delivery=partial(self._delivered, number=event.number),
            )
        return event

    def _delivered(self, error: KafkaError | None, message: Message, *, number: int) -> None:
        self._in_producer -= 1
        topic, partition, offset = message.topic(), message.partition(), message.offset()
        if error is None and topic is not None and partition is not None and offset is not None:
            self._book.add(topic, partition, offset, number)
