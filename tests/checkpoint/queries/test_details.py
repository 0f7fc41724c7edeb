"""One event or failure as a whole, and what is left out where there are many."""

from datetime import timedelta
from typing import Any

import pytest

from app.checkpoint import Filter, NotFoundError, Reader
from app.checkpoint.database import Database
from app.checkpoint.queries.details import RELATED_LIMIT
from app.checkpoint.queries.rows import PAYLOAD_LIMIT
from tests.checkpoint.queries.rows import NOON, NOW, Row, event, failure, store

FULL: Row = {
    "agent": "agent",
    "topic": "topic",
    "group_id": "group",
    "partition": 3,
    "offset": 2**40,
    "key": b"\x00k",
    "entity_id": "entity",
    "event_time": NOON + timedelta(microseconds=1),
    "event_type": "type",
    "event_version": "1",
    "checksum": b"\x01" * 16,
    "created_at": NOON,
    "payload": '{"b": 1.0, "a": 12345678901234567890123}',
}
FULL_FAILURE: Row = FULL | {
    "origin": '{"headers": [["a", "1"]], "timestamp": 1.5}',
    "error_class": "KeyError",
    "error_message": "'id'",
    "error_backtrace": '["one", "two"]',
    "attempts": 6,
    "occurrences": 2,
    "first_failed_at": NOON,
    "last_failed_at": NOON + timedelta(hours=1),
    "fingerprint": b"\x02" * 16,
    "status": "resolved",
    "edited": b"\xff",
}


def told(record: Any, names: Row) -> Row:
    """Return what a record says of some fields."""
    return {name: getattr(record, name) for name in names}


async def test_an_event_tells_all_that_is_stored(tables: Database, reader: Reader) -> None:
    """By its id and in a list."""
    await store(tables, events=[event(1, **FULL)])
    one = await reader.event(1)
    assert told(one, FULL) == FULL
    assert (one.payload_raw, one.payload_size, one.payload_cut) == (None, 40, False)
    assert (await reader.events(Filter(), limit=1)).items == [one]


async def test_a_failure_tells_all_that_is_stored(tables: Database, reader: Reader) -> None:
    """By its id and in a list."""
    await store(tables, failures=[failure(1, **FULL_FAILURE)])
    one = await reader.failure(1)
    assert told(one, FULL_FAILURE) == FULL_FAILURE
    [listed] = (await reader.failures(Filter(status="all"), limit=1)).items
    assert listed == one


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, 0),
        ({"payload": "1.0"}, 3),
        ({"payload": '"ä\N{WAVING HAND SIGN}"'}, 8),
        ({"payload_raw": b""}, 0),
        ({"payload_raw": b"\x00\xff'\\"}, 4),
        ({"payload": f'"{"ä" * (PAYLOAD_LIMIT // 2 - 1)}"'}, PAYLOAD_LIMIT),
        ({"payload_raw": bytes(PAYLOAD_LIMIT)}, PAYLOAD_LIMIT),
    ],
    ids=["none", "text", "wide text", "empty", "raw", "largest text", "largest raw"],
)
async def test_a_small_payload_is_told_everywhere(
    tables: Database, reader: Reader, fields: Row, size: int
) -> None:
    """Exactly as it came, with its size in bytes."""
    await store(tables, events=[event(1, **fields)])
    one = await reader.event(1)
    assert (one.payload, one.payload_raw) == (fields.get("payload"), fields.get("payload_raw"))
    assert (one.payload_size, one.payload_cut) == (size, False)
    assert (await reader.events(Filter(), limit=1)).items == [one]


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": f'"{"x" * PAYLOAD_LIMIT}"'},
        {"payload": f'"{"ä" * (PAYLOAD_LIMIT // 2)}"'},
        {"payload": str([n**5 for n in range(9_999)])},
        {"payload_raw": bytes(PAYLOAD_LIMIT + 1)},
    ],
    ids=["text", "wide text", "varied text", "raw"],
)
async def test_a_large_payload_is_told_by_id_only(
    tables: Database, reader: Reader, fields: Row
) -> None:
    """A list says that it is left out, and that it is large."""
    await store(tables, events=[event(1, **fields)], failures=[failure(1, **fields)])
    for one in (await reader.event(1), await reader.failure(1)):
        assert told(one, fields) == fields
        assert one.payload_cut is False
    for ask in (reader.events, reader.failures):
        [listed] = (await ask(Filter(), limit=1)).items
        assert (listed.payload, listed.payload_raw, listed.payload_cut) == (None, None, True)
        assert PAYLOAD_LIMIT < listed.payload_size <= one.payload_size


@pytest.mark.parametrize(
    ("stored", "claimed_at", "status"),
    [
        ("open", None, "open"),
        ("open", NOW, "retrying"),
        ("open", NOON, "open"),
        ("resolved", NOW, "resolved"),
        ("discarded", None, "discarded"),
    ],
)
async def test_a_failure_is_being_retried_while_its_claim_is_fresh(
    tables: Database, reader: Reader, stored: str, claimed_at: Any, status: str
) -> None:
    """One whose retry has died is open again."""
    await store(tables, failures=[failure(1, status=stored, claimed_at=claimed_at)])
    assert (await reader.failure(1)).status == status
    [listed] = (await reader.failures(Filter(status="all"), limit=1)).items
    assert listed.status == status


async def test_events_and_failures_name_each_other(tables: Database, reader: Reader) -> None:
    """By their identity: an event its failures, newest first, and a failure its event."""
    same = {"identity": b"\x07" * 16}
    await store(
        tables,
        events=[event(1), event(2, **same)],
        failures=[failure(1), failure(3, **same, status="resolved"), failure(5, **same)],
    )
    assert (await reader.event(2)).related == [5, 3]
    assert (await reader.failure(3)).related == (await reader.failure(5)).related == [2]
    many = range(1, RELATED_LIMIT + 2)
    await store(
        tables,
        events=[event(1, **same)],
        failures=[failure(n, **same, status="resolved") for n in many],
    )
    assert (await reader.event(1)).related == list(many)[:0:-1]


async def test_an_id_that_is_not_there_is_not_found(tables: Database, reader: Reader) -> None:
    """The message says of what."""
    await store(tables, events=[event(1)], failures=[failure(2)])
    with pytest.raises(NotFoundError, match=r"^event not found$"):
        await reader.event(2)
    with pytest.raises(NotFoundError, match=r"^failure not found$"):
        await reader.failure(1)
