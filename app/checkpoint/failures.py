"""How a failed attempt is put down so that it can be read, whatever the handler raised."""

import base64
import traceback
from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from app.checkpoint.events import Headers

MESSAGE_LIMIT = 10_000
"""Characters of an error message that are kept."""
FRAMES_LIMIT = 100
"""Innermost stack frames of one error that are kept."""
LINES_LIMIT = 300
"""Lines of a backtrace that are kept, those of its causes included."""
LINE_LIMIT = 2_000
"""Characters of one line that are kept."""


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
    # A class that was made at run time may name no module.
    module: object = kind.__module__
    named = isinstance(module, str) and module != "builtins"
    return clean(f"{module}.{kind.__qualname__}" if named else kind.__qualname__, 255)


def error_message(error: BaseException) -> str:
    """Return an error's text, also of one whose `__str__` raises."""
    try:
        text = str(error)
    except BaseException as unprintable:  # noqa: BLE001 - not even SystemExit may lose the failure
        text = f"<no text: __str__ raised {type(unprintable).__name__}>"
    return clean(text, MESSAGE_LIMIT)


def error_backtrace(error: BaseException) -> str:
    """Return a JSON array: the innermost frames, outermost first, then what the error came from.

    Each cause, and each member of a group, has a line of its own and its frames below.
    """
    try:
        lines = list(islice(_lines(error), LINES_LIMIT))
    except Exception as unreadable:  # noqa: BLE001 - source is read by the service's own import hooks
        lines = [f"<no backtrace: {error_class(unreadable)}>"]
    return orjson.dumps([clean(line, LINE_LIMIT) for line in lines]).decode()


def _lines(error: BaseException) -> Iterator[str]:
    waiting, told = [("", error)], set[int]()
    while waiting:
        how, error = waiting.pop()
        if id(error) in told:
            continue
        told.add(id(error))
        if how:
            yield f"{how} {error_class(error)}: {error_message(error)}"
        for frame in traceback.extract_tb(error.__traceback__, limit=-FRAMES_LIMIT):
            yield f"{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
        if error.__cause__ is not None:
            waiting.append(("caused by", error.__cause__))
        elif error.__context__ is not None and not error.__suppress_context__:
            waiting.append(("while handling", error.__context__))
        if isinstance(error, BaseExceptionGroup):
            waiting += [("in the group:", member) for member in reversed(error.exceptions)]


def origin(headers: Headers, timestamp: float | None) -> str:
    """Return what the message carried beside key and value, as a JSON object.

    A header value that is not UTF-8 text stands as `{"base64": "…"}`.
    """
    # Whole, NUL included: JSON escapes it. Half a surrogate pair it cannot.
    listed = [[name.encode("utf-8", "replace").decode(), _header(value)] for name, value in headers]
    return orjson.dumps({"headers": listed, "timestamp": timestamp}).decode()


def _header(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
