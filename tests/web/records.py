"""Stored events and failures, with as much chosen as a test cares for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from app.checkpoint import EventRecord, FailureRecord

TIME = datetime(2016, 9, 19, 21, 35, 26, 854_999, UTC)


def event(**fields: Any) -> EventRecord:
    """Return an event of which nothing is null."""
    told = EventRecord(
        id=1,
        agent="orders",
        topic="orders",
        group_id="service",
        partition=3,
        offset=42,
        key=b"k",
        entity_id="order-1",
        event_time=TIME,
        event_type="order_placed",
        event_version="1",
        checksum=bytes(range(16)),
        payload='{"b": 1.0, "a": 1}',
        payload_raw=None,
        payload_size=18,
        created_at=TIME,
    )
    return replace(told, **fields)


def failure(**fields: Any) -> FailureRecord:
    """Return a failure of which nothing is null."""
    told = event()
    common = {name: getattr(told, name) for name in told.__slots__}
    failed = FailureRecord(
        **common,
        origin='{"headers": [["h", "1"], ["h", {"base64": "/w=="}]], "timestamp": 1.5}',
        error_class="KeyError",
        error_message="'id'",
        error_backtrace='["a.py:1 in f: g()"]',
        attempts=6,
        occurrences=2,
        first_failed_at=TIME,
        last_failed_at=TIME + timedelta(seconds=1),
        fingerprint=bytes(range(16, 32)),
        status="open",
        edited=None,
    )
    return replace(failed, **fields)
