"""The 16 bytes that name an event: two deliveries with the same name are one event."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

from app.checkpoint.events import Event, Metadata, Record

IDENTITY_SIZE = 16
"""Bytes: 128 bits, so that one in a billion billion events collides by chance at 10^10 rows."""

Identity: TypeAlias = (
    Literal["payload", "key_and_payload", "offset"] | Callable[[Any, Metadata], str | bytes]
)
KINDS = ("payload", "key_and_payload", "offset")


def checksum(value: bytes | None) -> bytes | None:
    """Return the 128-bit BLAKE2b of a raw value, None for a null value."""
    return None if value is None else blake2b(value, digest_size=IDENTITY_SIZE).digest()


def framed(*parts: bytes) -> bytes:
    """Return the parts as one, each behind its length: no others make the same."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class Identifier:
    """Names the events of one agent; the agent is part of the name, so two may share a topic."""

    def __init__(self, *, group_id: str, agent: str, kind: str = "payload") -> None:
        self._group_id = group_id
        self._agent = agent
        self._kind = kind
        self._scopes: dict[str, blake2b] = {}

    def event(self, record: Record) -> Event:
        """Name a record by its payload, key and payload, or offset.

        A null value has no payload to go by: it is always named by its offset.
        """
        digest = checksum(record.value)
        if digest is None or self._kind == "offset":
            material = b"o%d:%d" % (record.partition, record.offset)
        elif self._kind == "payload":
            material = b"p" + digest
        else:
            key = b"-" if record.key is None else b"+" + record.key
            material = b"k" + digest + key
        return Event(record, identity=self.digest(record.topic, material), checksum=digest)

    def named(self, event: Event, name: str | bytes) -> bytes:
        """Return the identity of an event that the service itself has named.

        Raises:
            TypeError: the name is no text and no bytes.
            ValueError: the name is empty; it would make one event of many.
        """
        if not isinstance(name, str | bytes):
            msg = f"identity returned {type(name).__name__}: return text or bytes"
            raise TypeError(msg)
        if not name:
            msg = "identity returned an empty name: return what makes the event itself"
            raise ValueError(msg)
        material = name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name
        return self.digest(event.record.topic, b"n" + material)

    def digest(self, topic: str, material: bytes) -> bytes:
        """Return the identity of `material` within this group, topic and agent."""
        scope = self._scopes.get(topic)
        if scope is None:
            scope = self._scopes[topic] = blake2b(digest_size=IDENTITY_SIZE)
            scope.update(framed(self._group_id.encode(), topic.encode(), self._agent.encode()))
        digest = scope.copy()
        digest.update(material)
        return digest.digest()
