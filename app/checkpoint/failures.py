"""How a failed attempt is put down so that it can be read, whatever the handler raised."""

import base64
import traceback
from collections.abc import Iterator
from hashlib import blake2b
from itertools import islice
from types import TracebackType
from typing import Any

import orjson

from app.checkpoint.events import Headers
from app.checkpoint.identity import IDENTITY_SIZE, framed

MESSAGE_LIMIT = 10_000
"""Characters of an error message that are kept."""
FRAMES_LIMIT = 100
"""Innermost stack frames of one error that are kept."""
LINES_LIMIT = 300
"""Lines of a backtrace that are kept, those of its causes included."""
LINE_LIMIT = 2_000
"""Characters of one line that are kept."""
ENGINE = __name__.rpartition(".")[0]
"""The package whose frames say nothing about where the service's own code went wrong."""


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


def fingerprint(error: BaseException, *, agent: str, topic: str, module: str) -> bytes:
    """Return 16 bytes that are equal for failures that one fix mends.

    Agent, topic and class of the error, and the innermost function of the service's own code that
    it came through: of the package that the handler's `module` is in, or of what caused the error.
    """
    return fingerprint_of(agent, topic, error_class(error), place=_place(error, module))


def fingerprint_of(agent: str, topic: str, error_class: str, *, place: str) -> bytes:
    """Return the fingerprint of what is known by its names."""
    parts = (part.encode("utf-8", "replace") for part in (agent, topic, error_class, place))
    return blake2b(framed(*parts), digest_size=IDENTITY_SIZE).digest()


def _place(error: BaseException, module: str) -> str:
    package = module.partition(".")[0]
    told = set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in told:
        told.add(id(cause))
        place = ""
        for name, function in _frames(cause.__traceback__):
            if name.partition(".")[0] == package and not f"{name}.".startswith(f"{ENGINE}."):
                place = f"{name}:{function}"
        if place:
            return place
        cause = cause.__cause__ or cause.__context__
    return ""


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, str]]:
    while trace is not None:
        frame = trace.tb_frame
        yield str(frame.f_globals.get("__name__")), frame.f_code.co_qualname
        trace = trace.tb_next


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


def parse_origin(text: str) -> tuple[Headers, float | None]:
    """Return headers and timestamp as they were given to `origin`."""
    told = orjson.loads(text)
    headers = tuple((name, _header_value(value)) for name, value in told["headers"])
    return headers, told["timestamp"]


def _header_value(value: Any) -> bytes | None:
    if value is None:
        return None
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
