"""How values that JSON has no type for are written in it."""

from base64 import b64encode
from datetime import UTC, datetime

import orjson


def time_text(time: datetime) -> str:
    """Return a time as ISO-8601 in UTC, with milliseconds."""
    # In a third of the time of isoformat(); it leaves out a fraction that is nothing.
    text = orjson.dumps(time.astimezone(UTC))
    return text[1:24].decode() + "Z" if time.microsecond else text[1:20].decode() + ".000Z"


def time_or_null(time: datetime | None) -> str | None:
    """Return a time as `time_text` does, null for none."""
    return None if time is None else time_text(time)


def hex_or_null(digest: bytes | None) -> str | None:
    """Return a digest in hexadecimal, null for none."""
    return None if digest is None else digest.hex()


def base64_text(value: bytes) -> str:
    """Return bytes as base64."""
    return b64encode(value).decode()
