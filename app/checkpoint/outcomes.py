"""What a handler may answer: `Ack` (recorded) or `Skip` (nothing is saved)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

TEXT_LIMIT = 255
"""Longest entity id, type and version in characters, as the tables hold them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ack:
    """The event was handled and is to be recorded; `ack` makes it of more kinds of values.

    However it is made, it holds text and a time in UTC that every database takes.
    """

    entity_id: str
    event_time: datetime
    event_type: str | None = None
    event_version: str | None = None

    def __post_init__(self) -> None:
        """Refuse at once what could not be recorded later."""
        _check_text(self.entity_id, "entity_id")
        if self.event_type is not None:
            _check_text(self.event_type, "event_type")
        if self.event_version is not None:
            _check_text(self.event_version, "event_version")
        object.__setattr__(self, "event_time", _utc(self.event_time))


@dataclass(frozen=True, slots=True)
class Skip:
    """The event was looked at and nothing is to be saved."""


SKIP = Skip()


def ack(
    entity_id: str | int | UUID,
    event_time: datetime | str | float,
    event_type: str | None = None,
    event_version: str | int | None = None,
) -> Ack:
    """Answer that the event was handled and is to be recorded.

    Args:
        entity_id: what the event is about, at most 255 characters.
        event_time: an aware datetime, ISO-8601 text with an offset, or seconds since the epoch.
        event_type: at most 255 characters.
        event_version: at most 255 characters.

    Raises:
        TypeError: a value of another type.
        ValueError: text that no database can hold, or a time without an offset.
    """
    return Ack(
        _text(entity_id, "entity_id"),
        _time(event_time),
        None if event_type is None else _text(event_type, "event_type"),
        None if event_version is None else _text(event_version, "event_version"),
    )


def skip() -> Skip:
    """Answer that nothing is to be saved of this event; returning None means the same."""
    return SKIP


def _text(value: str | int | UUID, name: str) -> str:
    if type(value) is str:
        return value
    # Members of an Enum that are text or integers count as what they are, not as their names.
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return int.__repr__(value)
    if isinstance(value, UUID):
        return str(value)
    msg = f"ack() got {name}={value!r}: give text, an integer or a UUID"
    raise TypeError(msg)


def _check_text(text: str, name: str) -> None:
    if not isinstance(text, str):
        msg = f"Ack() got {name}={text!r}: give text, or write ack(...)"
        raise TypeError(msg)
    if len(text) > TEXT_LIMIT:
        msg = f"ack() got a {name} of {len(text)} characters: give at most {TEXT_LIMIT}"
        raise ValueError(msg)
    if "\x00" in text or (not text.isascii() and text.encode("utf-8", "replace").decode() != text):
        msg = f"ack() got {name}={text!r}: no database stores NUL or half a surrogate pair"
        raise ValueError(msg)


def _time(value: datetime | str | float) -> datetime:
    if isinstance(value, datetime):
        return value
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return EPOCH + timedelta(seconds=value)
    except (OverflowError, ValueError) as error:
        instead = "ISO-8601 text" if isinstance(value, str) else "seconds, not milliseconds"
        msg = f"ack() got event_time={value!r}: give {instead}"
        raise ValueError(msg) from error
    msg = f"ack() got event_time={value!r}: give an aware datetime, ISO-8601 text or seconds"
    raise TypeError(msg)


def _utc(time: datetime) -> datetime:
    if not isinstance(time, datetime):
        msg = f"Ack() got event_time={time!r}: give an aware datetime, or write ack(...)"
        raise TypeError(msg)
    if time.tzinfo is UTC:
        return time
    if time.utcoffset() is None:
        msg = f"ack() got event_time={time!r} without an offset: add one, for example +00:00 or Z"
        raise ValueError(msg)
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        msg = f"ack() got event_time={time!r}: it has no year in UTC between 1 and 9999"
        raise ValueError(msg) from error
