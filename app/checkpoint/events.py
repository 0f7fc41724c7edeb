"""One event on its way through the checkpoint, and what its handler is told about it."""

from typing import NamedTuple, TypeAlias

from aiokafka import ConsumerRecord

Record: TypeAlias = ConsumerRecord[bytes, bytes]
"""What the broker delivered: raw key and value, nothing decoded yet."""

Headers: TypeAlias = tuple[tuple[str, bytes | None], ...]
"""In the order of the message; one name may stand several times."""


class Metadata(NamedTuple):
    """Where an event comes from and which attempt at it this is.

    Made for each attempt: a frozen dataclass would take three times as long.
    """

    agent: str
    topic: str
    group_id: str
    partition: int
    offset: int
    key: bytes | None
    headers: Headers
    timestamp: float | None
    """Of the message, in seconds since the epoch."""
    checksum: str | None
    """128-bit BLAKE2b of the raw value in hex, as `b2sum -l 128` has it; None for a null value."""
    attempt: int
    """1 for the first attempt."""
    max_retries: int | None


class Event:
    """A delivered record and the names by which the database knows it."""

    __slots__ = ("checksum", "error", "identity", "record")

    def __init__(
        self,
        record: Record,
        *,
        identity: bytes,
        checksum: bytes | None,
        error: BaseException | None = None,
    ) -> None:
        self.record = record
        self.identity = identity
        """16 bytes: group, topic, agent and what makes the event itself."""
        self.checksum = checksum
        self.error = error
        """Why the event could not be identified as asked; it fails without an attempt."""


def make_record(  # noqa: PLR0913 - one for each field of a message
    value: bytes | None,
    *,
    topic: str,
    partition: int = 0,
    offset: int = 0,
    key: bytes | None = None,
    headers: Headers = (),
    timestamp: float | None = None,
) -> Record:
    """Return a record as the broker would deliver it; the timestamp is in seconds."""
    return ConsumerRecord(
        topic=topic,
        partition=partition,
        offset=offset,
        timestamp=None if timestamp is None else round(timestamp * 1000),
        timestamp_type=0,
        key=key,
        value=value,
        checksum=None,
        serialized_key_size=len(key or b""),
        serialized_value_size=len(value or b""),
        headers=headers,
    )
