"""How a failed attempt is put down so that it can be read, whatever the handler raised."""

import base64
import traceback
from typing import Any

import orjson

from app.checkpoint.events import Headers

MESSAGE_LIMIT = 10_000
"""Characters of an error message that are kept."""
FRAMES_LIMIT = 100
"""Innermost stack frames that are kept."""
FRAME_LIMIT = 2_000
"""Characters of one frame that are kept."""


def clean(text: str, limit: int) -> str:
    """Return text that every database can hold: no NUL, no half surrogate pair, at most `limit`."""
    return (
        text[:limit]
        .replace("\x00", "\N{REPLACEMENT CHARACTER}")
        .encode("utf-8", "replace")
        .decode()
    )


def error_class(error: BaseException) -> str:
    """Return the name of an error's class, with its module unless it is built in."""
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
    return clean(name, 255)


def error_message(error: BaseException) -> str:
    """Return an error's text, also of one whose `__str__` raises."""
    try:
        text = str(error)
    except Exception as unprintable:  # noqa: BLE001 - the service's own __str__ may raise anything
        text = f"<no text: __str__ raised {type(unprintable).__name__}>"
    return clean(text, MESSAGE_LIMIT)


def error_backtrace(error: BaseException) -> str:
    """Return the innermost frames as a JSON array, outermost first."""
    frames = traceback.extract_tb(error.__traceback__, limit=-FRAMES_LIMIT)
    lines = [f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames]
    return orjson.dumps([clean(line, FRAME_LIMIT) for line in lines]).decode()


def origin(headers: Headers, timestamp: float | None) -> str:
    """Return what the message carried beside key and value, as a JSON object.

    A header value that is not UTF-8 text stands as `{"base64": "…"}`.
    """
    listed = [[clean(name, 1_000_000), _header(value)] for name, value in headers]
    return orjson.dumps({"headers": listed, "timestamp": timestamp}).decode()


def _header(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
