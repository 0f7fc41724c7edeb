"""A query is read as it is meant, or refused with a sentence that says what to write."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import MultiDict

from app.checkpoint import Cursor, Filter, NotFoundError
from app.web.params import (
    EVENT_LIST,
    FAILURE_LIST,
    LARGEST,
    BadRequestError,
    Listing,
    cursor_text,
    read_filter,
    read_id,
    read_listing,
    read_query,
)

TOPICS = frozenset({"orders"})
SORT_KEYS = st.integers(min_value=-LARGEST - 1, max_value=LARGEST)
IDS = st.integers(min_value=1, max_value=LARGEST)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1)


def listing(**query: str) -> Listing:
    """Return what a query of failures asks for."""
    return read_listing(read_query(query, FAILURE_LIST), topics=TOPICS)


def test_nothing_asked_for_is_the_first_page() -> None:
    """Twenty rows from the newest on, of what the caller may see."""
    assert listing() == Listing(where=Filter(topics=TOPICS), limit=20, offset=0, after=None)


def test_each_filter_sets_its_field() -> None:
    """All of them at once."""
    query = {
        "topic": "orders",
        "group_id": "service",
        "agent": "a",
        "entity_id": "e",
        "event_type": "t",
        "event_version": "1",
        "checksum": "0F" * 16,
        "partition": "3",
        "since": "2026-01-02T03:04:05+01:00",
        "until": "2026-01-02T03:04:05.000006Z",
        "status": "all",
        "error_class": "KeyError",
        "error": "100 % '_\\",
        "group": "ab" * 16,
        "limit": "200",
        "offset": "10000",
    }
    asked = listing(**query)
    assert asked.where == Filter(
        topic="orders",
        group_id="service",
        agent="a",
        entity_id="e",
        event_type="t",
        event_version="1",
        checksum=b"\x0f" * 16,
        partition=3,
        since=datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC),
        until=datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        topics=TOPICS,
        status="all",
        error_class="KeyError",
        error_text="100 % '_\\",
        fingerprint=b"\xab" * 16,
    )
    assert (asked.limit, asked.offset) == (200, 10_000)


BAD = {
    "limit": ("0", "-1", "201", "1e2", "abc", "NaN", "٣", " 5", "5.0", str(2**63), ""),
    "offset": ("-1", "10001", "abc", str(2**63), str(10**9), "NaN", ""),
    "partition": ("-1", str(2**31), "a", "1.0", ""),
    "cursor": ("", "abc", "0" * 31, "0" * 33, "0" * 16 + "8" * 16, "A" * 32, "٣" * 32, "0" * 4000),
    "checksum": ("", "0" * 31, "0" * 33, "g" * 32, "0x" + "0" * 30),
    "group": ("", "zz"),
    "since": ("", "yesterday", "2026-01-02", "2026-01-02T03:04:05", "0001-01-01T00:00:00+14:00"),
    "until": ("9999-12-31T23:59:59-14:00", "2026-13-01T00:00:00Z", "1"),
    "status": ("", "OPEN", "closed", "unresolved"),
    "topic": ("", "a\x00b", "\udcff"),
    "error": ("", "\x00"),
}


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name, texts in BAD.items() for text in texts]
)
def test_what_cannot_be_meant_is_refused(name: str, text: str) -> None:
    """By name, and with what to write instead."""
    with pytest.raises(BadRequestError, match=f"^{name} cannot be used: write ."):
        listing(**{name: text})


def test_an_unknown_parameter_is_refused_with_those_that_there_are() -> None:
    """A filter with a typing error must not show everything."""
    with pytest.raises(BadRequestError, match=r"no parameter entity: write one of topic, group_id"):
        listing(entity="1")
    with pytest.raises(BadRequestError, match=r"no parameter status"):
        read_query({"status": "open"}, EVENT_LIST)
    with pytest.raises(BadRequestError, match=r"no parameter a{40}: write none$"):
        read_query({"a" * 4000: ""}, ())


def test_a_parameter_that_is_repeated_is_refused() -> None:
    """Which of the two is meant, nobody can say."""
    with pytest.raises(BadRequestError, match=r"^write topic once$"):
        read_query(MultiDict([("topic", "a"), ("topic", "a")]), EVENT_LIST)


def test_an_offset_counts_from_the_cursor_on() -> None:
    """Both say where the page begins, and each means something with the other."""
    asked = listing(cursor=cursor_text(Cursor(1, 2)), offset="3")
    assert (asked.after, asked.offset) == (Cursor(1, 2), 3)


@given(SORT_KEYS, IDS)
def test_a_cursor_survives_its_link(sort_key: int, row_id: int) -> None:
    """Whatever row a page ends at."""
    cursor = Cursor(sort_key, row_id)
    assert listing(cursor=cursor_text(cursor)).after == cursor


@given(SORT_KEYS, IDS, SORT_KEYS, IDS)
def test_a_cursor_leads_to_one_row(key: int, row_id: int, other_key: int, other_id: int) -> None:
    """No two rows have the same."""
    texts = {cursor_text(Cursor(key, row_id)), cursor_text(Cursor(other_key, other_id))}
    assert len(texts) == len({(key, row_id), (other_key, other_id)})


@given(st.text())
def test_no_text_is_too_odd_for_a_cursor(text: str) -> None:
    """It is one that we wrote, or it is refused."""
    try:
        after = listing(cursor=text).after
    except BadRequestError:
        return
    assert after is not None
    assert cursor_text(after) == text


@given(TEXTS)
def test_texts_are_taken_as_they_stand(text: str) -> None:
    """Spaces, quotes and whatever means something to a database."""
    assert read_filter(read_query({"topic": text}, EVENT_LIST), topics=None).topic == text


@given(IDS)
def test_an_id_is_read_from_a_path(row_id: int) -> None:
    """As it is shown everywhere."""
    assert read_id(str(row_id), "event") == row_id


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "01", "1.0", "abc", "1e3", "٣", " 1", "1\n", str(2**63), "9" * 5000]
)
def test_what_is_no_id_is_not_found(text: str) -> None:
    """There is no such row, and never will be."""
    with pytest.raises(NotFoundError, match=r"^failure not found$"):
        read_id(text, "failure")
