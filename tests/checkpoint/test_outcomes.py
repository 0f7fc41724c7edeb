"""`ack` takes what every database can hold, in several forms, and refuses all else at once."""

import enum
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint import Ack, Skip, ack, skip

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")


class Kind(str, enum.Enum):  # noqa: UP042 - what services still write; StrEnum would hide the trap
    """Text whose `str` is not its value."""

    PLACED = "order_placed"


class Version(int, enum.Enum):
    """An integer whose `str` is not its value."""

    SECOND = 2


class Timeless(tzinfo):
    """A time zone that knows no offset: a time in it is naive, whatever its looks."""

    def utcoffset(self, _: datetime | None) -> None:
        """Return no offset."""

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        """Return a name all the same."""
        return "nowhere"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        ("order-1", "order-1"),
        (42, "42"),
        (-1, "-1"),
        (ID, str(ID)),
        (Kind.PLACED, "order_placed"),
        (Version.SECOND, "2"),
        ("é" * 255, "é" * 255),
        ("\N{PILE OF POO}" * 255, "\N{PILE OF POO}" * 255),
    ],
)
def test_text_is_taken_in_several_forms(value: Any, text: str) -> None:
    """Text, integers, UUIDs and members of an Enum, up to 255 characters."""
    answer = ack(value, NOON, value, value)
    assert (answer.entity_id, answer.event_type, answer.event_version) == (text, text, text)
    assert {type(answer.entity_id), type(answer.event_type), type(answer.event_version)} == {str}


@pytest.mark.parametrize("position", [0, 2, 3])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (True, TypeError),
        (1.5, TypeError),
        (b"order", TypeError),
        ({}, TypeError),
        ("x" * 256, ValueError),
        ("é" * 256, ValueError),
        (10**255, ValueError),
        ("a\x00b", ValueError),
        ("\x00é", ValueError),
        ("half \ud83d", ValueError),
    ],
)
def test_text_that_no_database_can_hold_is_refused(
    position: int, value: Any, error: type[Exception]
) -> None:
    """In each place, with a message that names it."""
    values: list[Any] = ["order", NOON, "type", "1"]
    values[position] = value
    name = ("entity_id", "event_time", "event_type", "event_version")[position]
    with pytest.raises(error, match=name):
        ack(*values)


def test_an_entity_is_not_optional() -> None:
    """None is a value for type and version only."""
    assert ack("order", NOON) == Ack("order", NOON, None, None)
    with pytest.raises(TypeError, match="entity_id=None"):
        ack(None, NOON)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "value",
    [
        NOON,
        NOON.astimezone(timezone(timedelta(hours=5, minutes=45))),
        "2026-01-02T12:00:00Z",
        "2026-01-02T12:00:00+00:00",
        "2026-01-02 13:00+01:00",
        "20260102T120000.000000Z",
        NOON.timestamp(),
        int(NOON.timestamp()),
    ],
)
def test_a_time_is_taken_in_several_forms(value: Any) -> None:
    """An aware datetime, ISO-8601 text with an offset, or seconds, all kept in UTC."""
    answer = ack("order", value)
    assert (answer.event_time, answer.event_time.tzinfo) == (NOON, UTC)


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        (datetime(2026, 1, 2), ValueError, "without an offset"),  # noqa: DTZ001 - the case
        (datetime(2026, 1, 2, tzinfo=Timeless()), ValueError, "without an offset"),
        ("2026-01-02T12:00:00", ValueError, "without an offset"),
        ("2026-01-02", ValueError, "without an offset"),
        ("yesterday", ValueError, "give ISO-8601 text"),
        ("", ValueError, "give ISO-8601 text"),
        ("9999-12-31T23:59:59-01:00", ValueError, "between 1 and 9999"),
        ("0001-01-01T00:00:00+01:00", ValueError, "between 1 and 9999"),
        (NOON.timestamp() * 1000, ValueError, "not milliseconds"),
        (float("nan"), ValueError, "give seconds"),
        (float("inf"), ValueError, "give seconds"),
        (10**400, ValueError, "give seconds"),
        (True, TypeError, "event_time=True"),
        (None, TypeError, "event_time=None"),
        (Decimal(0), TypeError, "event_time"),
        (date(2026, 1, 2), TypeError, "event_time"),
    ],
)
def test_a_time_that_is_none_is_refused(value: Any, error: type[Exception], match: str) -> None:
    """The message says what to give."""
    with pytest.raises(error, match=match):
        ack("order", value)


ANYTHING = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.datetimes(timezones=st.just(timezone(timedelta(hours=-14))))
    | st.datetimes().map(datetime.isoformat)
    | st.uuids()
    | st.dates()
)


@given(entity_id=ANYTHING, event_time=ANYTHING, event_type=ANYTHING, event_version=ANYTHING)
def test_an_ack_can_be_recorded_or_is_not_made(
    entity_id: Any, event_time: Any, event_type: Any, event_version: Any
) -> None:
    """Whatever a service gives: text that databases hold and a time in UTC, or an error."""
    try:
        answer = ack(entity_id, event_time, event_type, event_version)
    except (TypeError, ValueError):
        return
    assert answer.event_time.tzinfo is UTC
    for text in (answer.entity_id, answer.event_type, answer.event_version):
        assert len((text or "").encode().decode()) <= 255
        assert "\x00" not in (text or "")


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ((5, NOON), TypeError),
        (("order", "2026-01-02T12:00:00Z"), TypeError),
        (("order", NOON.replace(tzinfo=None)), ValueError),
        (("order", NOON, 5), TypeError),
        (("order", NOON, None, "x" * 256), ValueError),
    ],
)
def test_an_ack_made_by_hand_is_checked_too(values: Any, error: type[Exception]) -> None:
    """Else recording it would break the worker, and each one after it."""
    with pytest.raises(error):
        Ack(*values)


def test_an_ack_made_by_hand_is_kept_in_utc() -> None:
    """As `ack` does it."""
    answer = Ack("order", NOON.astimezone(timezone(timedelta(hours=2))))
    assert answer.event_time.tzinfo is UTC
    assert answer == ack("order", NOON)


def test_skips_are_equal() -> None:
    """There is one way to skip."""
    assert skip() == Skip()
