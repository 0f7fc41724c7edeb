"""What the query of a request asks for; what cannot be meant is refused with a sentence."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn, get_args

from app.checkpoint import Cursor, Filter, NotFoundError, Status

LIMIT = 20
"""Rows of a page, unless asked for."""
MAX_LIMIT = 200
MAX_GROUPS = 25
"""Groups of a page: each is found, dated, counted and shown with a whole failure."""
MAX_OFFSET = 10_000
"""Rows that may be passed over; each of them is read, so beyond it the cursor is the way."""
LARGEST = 2**63 - 1
"""What an id or a sort key cannot be above."""
LARGEST_PARTITION = 2**31 - 1
CURSOR_PATTERN = "^[0-9a-f]{16}[0-7][0-9a-f]{15}$"
SHOWN = 40
"""Characters of an unknown name that are repeated to whoever wrote it."""

SUBJECTS = ("event", "failure", "operation")
STATUSES = (*get_args(Status), "all")


class BadRequestError(ValueError):
    """A request that cannot be meant; the message says what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a query: how it is read, and what is told of it."""

    name: str
    read: Callable[[str], Any]
    """Raises ValueError or OverflowError for what it does not take."""
    expects: str
    """What to write, as the end of a sentence."""
    schema: Mapping[str, Any]
    field: str = ""
    """Which field of a `Filter` it sets; none: it is about the page, or an act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Which page of which rows."""

    where: Filter
    limit: int = LIMIT
    offset: int = 0
    after: Cursor | None = None


def read_query(query: Mapping[str, str], parameters: Sequence[Parameter]) -> dict[str, Any]:
    """Return the value of each parameter that is there, by its name.

    Raises:
        BadRequestError: one is unknown, repeated or has a value that it does not take.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    # A multidict: what is repeated comes up here again.
    for name, text in query.items():
        if name not in known:
            _refuse_unknown(name, known)
        if name in values:
            _refuse(f"write {name} once")
        values[name] = _value(known[name], text)
    return values


def read_listing(values: Mapping[str, Any], *, topics: frozenset[str] | None) -> Listing:
    """Return which page is asked for, out of the rows that the caller may see.

    With a cursor, the offset counts from there on.
    """
    return Listing(
        where=read_filter(values, topics=topics),
        limit=values.get("limit", LIMIT),
        offset=values.get("offset", 0),
        after=values.get("cursor"),
    )


def read_filter(values: Mapping[str, Any], *, topics: frozenset[str] | None) -> Filter:
    """Return which rows are asked for, out of those that the caller may see."""
    fields = {FIELDS[name]: value for name, value in values.items() if name in FIELDS}
    return Filter(topics=topics, **fields)


def read_id(text: str, subject: str) -> int:
    """Return the id that a path names.

    Raises:
        NotFoundError: it is not one that a row can have.
    """
    if not re.fullmatch("[1-9][0-9]{0,18}", text) or int(text) > LARGEST:
        msg = f"{subject} not found"
        raise NotFoundError(msg)
    return int(text)


def cursor_text(cursor: Cursor) -> str:
    """Return a cursor as it stands in a link: 16 hexadecimal digits for each of its numbers."""
    return f"{cursor.sort_key + LARGEST + 1:016x}{cursor.id:016x}"


def _value(parameter: Parameter, text: str) -> Any:
    try:
        return parameter.read(text)
    except (ValueError, OverflowError):
        _refuse(f"{parameter.name} cannot be used: write {parameter.expects}")


def _refuse_unknown(name: str, known: Mapping[str, Parameter]) -> NoReturn:
    instead = f"write one of {', '.join(known)}" if known else "write none"
    _refuse(f"there is no parameter {name[:SHOWN]}: {instead}")


def _refuse(message: str) -> NoReturn:
    raise BadRequestError(message)


def _text(text: str) -> str:
    if not text or "\x00" in text:
        raise ValueError
    # Half a surrogate pair, which raw bytes in a URL turn into, is in no database.
    text.encode()
    return text


def _between(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,19}", text) or not least <= int(text) <= most:
            raise ValueError
        return int(text)

    return read


def _one_of(names: Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError
        return text

    return read


def _digest(text: str) -> bytes:
    if not re.fullmatch("[0-9a-fA-F]{32}", text):
        raise ValueError
    return bytes.fromhex(text)


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.utcoffset() is None:
        raise ValueError
    return time.astimezone(UTC)


def _cursor(text: str) -> Cursor:
    if not re.fullmatch(CURSOR_PATTERN, text):
        raise ValueError
    return Cursor(sort_key=int(text[:16], 16) - LARGEST - 1, id=int(text[16:], 16))


def _whole(name: str, least: int, most: int, *, field: str = "", **schema: Any) -> Parameter:
    return Parameter(
        name=name,
        read=_between(least, most),
        expects=f"a whole number from {least} to {most}",
        schema={"type": "integer", "minimum": least, "maximum": most} | schema,
        field=field,
    )


def _named(name: str, field: str = "") -> Parameter:
    schema = {"type": "string", "pattern": r"^[^\u0000]+$"}
    expects = "a text that is not empty and holds no NUL"
    return Parameter(name=name, read=_text, expects=expects, schema=schema, field=field or name)


def _hex(name: str, field: str) -> Parameter:
    schema = {"type": "string", "pattern": "^[0-9a-fA-F]{32}$"}
    return Parameter(
        name=name, read=_digest, expects="32 hexadecimal digits", schema=schema, field=field
    )


def _moment(name: str) -> Parameter:
    return Parameter(
        name=name,
        read=_time,
        expects="a time with its offset, such as 2026-01-02T03:04:05Z (a + is written %2B)",
        schema={"type": "string", "format": "date-time"},
        field=name,
    )


PAGE_LIMIT = _whole("limit", 1, MAX_LIMIT, default=LIMIT)
CURSOR = Parameter(
    name="cursor",
    read=_cursor,
    expects="what stands in the Link header of the page before",
    schema={"type": "string", "pattern": CURSOR_PATTERN},
)
OFFSET = Parameter(
    name="offset",
    read=_between(0, MAX_OFFSET),
    expects=f"a whole number from 0 to {MAX_OFFSET}; beyond it, follow the Link header",
    schema={"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
)
STATUS = Parameter(
    name="status",
    read=_one_of(STATUSES),
    expects=f"one of {', '.join(STATUSES)}, or leave it out for open and retrying ones",
    schema={"type": "string", "enum": list(STATUSES)},
    field="status",
)
REASON = _named("reason")

EVENT_FILTERS = (
    *(_named(name) for name in ("topic", "group_id", "agent", "entity_id")),
    *(_named(name) for name in ("event_type", "event_version")),
    _hex("checksum", "checksum"),
    _whole("partition", 0, LARGEST_PARTITION, field="partition"),
    _moment("since"),
    _moment("until"),
)
UNRESOLVED_FILTERS = (
    *EVENT_FILTERS,
    _named("error_class"),
    _named("error", "error_text"),
    _hex("group", "fingerprint"),
)
"""Of failures that something can be done about."""
FAILURE_FILTERS = (*UNRESOLVED_FILTERS, STATUS)

EVENT_LIST = (*EVENT_FILTERS, PAGE_LIMIT, OFFSET, CURSOR)
FAILURE_LIST = (*FAILURE_FILTERS, PAGE_LIMIT, OFFSET, CURSOR)
GROUP_LIST = (_whole("limit", 1, MAX_GROUPS, default=LIMIT), OFFSET)
AUDIT_LIST = (
    Parameter(
        name="subject",
        read=_one_of(SUBJECTS),
        expects=f"one of {', '.join(SUBJECTS)}",
        schema={"type": "string", "enum": list(SUBJECTS)},
    ),
    _whole("subject_id", 1, LARGEST),
    PAGE_LIMIT,
    CURSOR,
)

FIELDS = {parameter.name: parameter.field for parameter in FAILURE_FILTERS}
"""Which field of a `Filter` each of them sets."""
