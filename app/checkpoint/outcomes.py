"""What a handler may answer: `Ack` (recorded) or `Skip` (nothing is saved)."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

TEXT_LIMIT = 255
"""Longest entity id, type and version in characters, as the tables hold them."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Ack:
    """The event was handled and is to be recorded. Build it with `ack`, which checks the values."""

    entity_id: str
    event_time: datetime
    event_type: str | None = None
    event_version: str | None = None


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
    if type(value) is str and value.isascii() and "\x00" not in value and len(value) <= TEXT_LIMIT:
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | UUID):
        msg = f"ack() got {name}={value!r}: give text, an integer or a UUID"
        raise TypeError(msg)
    text = str(value)
    if len(text) > TEXT_LIMIT:
        msg = f"ack() got a {name} of {len(text)} characters: give at most {TEXT_LIMIT}"
        raise ValueError(msg)
    if "\x00" in text or (not text.isascii() and text.encode("utf-8", "replace").decode() != text):
        msg = f"ack() got {name}={text!r}: no database stores NUL or half a surrogate pair"
        raise ValueError(msg)
    return text


def _time(value: datetime | str | float) -> datetime:
    time: datetime
    if isinstance(value, str):
        time = datetime.fromisoformat(value)
    elif isinstance(value, datetime):
        time = value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        try:
            time = EPOCH + timedelta(seconds=value)
        except OverflowError as error:
            msg = f"ack() got event_time={value!r}: give seconds, not milliseconds, since the epoch"
            raise ValueError(msg) from error
    else:
        msg = f"ack() got event_time={value!r}: give an aware datetime, ISO-8601 text or seconds"
        raise TypeError(msg)
    if time.tzinfo is None:
        msg = f"ack() got event_time={value!r} without an offset: add one, for example +00:00 or Z"
        raise ValueError(msg)
    return time.astimezone(UTC)
