"""What is stored comes out whole, as it came in, and without what is to be hidden."""

import base64
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint import AuditEntry, Count, Replayed
from app.web import reports
from app.web.bodies import Bodies
from app.web.masking import Mask
from app.web.pages import dump_page
from app.web.texts import time_text
from tests.web.records import TIME, event, failure

OPEN = Bodies(Mask())
MASKED = Bodies(Mask(["email"]))
EMAIL = "anna@example.com"
PAYLOAD = json.dumps({"email": EMAIL, "total": 1})


def dumped(body: Any) -> Any:
    """Return what a client reads."""
    return json.loads(orjson.dumps(body))


def test_an_event_has_the_ancestors_fields_and_ours() -> None:
    """Its clients work unchanged; times are in UTC with milliseconds."""
    assert dumped(OPEN.event(event())) == {
        "id": 1,
        "topic": "orders",
        "group_id": "service",
        "entity_id": "order-1",
        "event_time": "2016-09-19T21:35:26.854Z",
        "event_type": "order_placed",
        "event_version": "1",
        "checksum": "000102030405060708090a0b0c0d0e0f",
        "payload": {"b": 1.0, "a": 1},
        "created_at": "2016-09-19T21:35:26.854Z",
        "agent": "orders",
        "partition": 3,
        "offset": 42,
        "key": "k",
        "payload_size": 18,
        "payload_cut": False,
        "details_cut": False,
    }


def test_a_failure_tells_where_it_came_from_and_what_went_wrong() -> None:
    """The metadata are those that the handler had; what is no text stands as base64."""
    body = dumped(OPEN.failure(failure(key=b"\xff")))
    assert body["metadata"] == {
        "agent": "orders",
        "topic": "orders",
        "group_id": "service",
        "partition": 3,
        "offset": 42,
        "key": {"base64": "/w=="},
        "headers": [["h", "1"], ["h", {"base64": "/w=="}]],
        "timestamp": 1.5,
        "checksum": "000102030405060708090a0b0c0d0e0f",
        "retry_count": 5,
    }
    assert (body["key"], body["key_encoding"]) == ("/w==", "base64")
    assert (body["error_class"], body["error_message"]) == ("KeyError", "'id'")
    assert body["error_backtrace"] == ["a.py:1 in f: g()"]
    assert (body["attempts"], body["occurrences"], body["status"]) == (6, 2, "open")
    assert body["last_failed_at"] == "2016-09-19T21:35:27.854Z"
    assert body["fingerprint"] == "101112131415161718191a1b1c1d1e1f"


def test_what_there_is_not_is_null() -> None:
    """A tombstone of which nothing is known."""
    nothing: dict[str, Any] = dict.fromkeys(
        ("key", "entity_id", "event_time", "event_type", "event_version", "checksum", "payload")
    )
    body = dumped(OPEN.event(event(**nothing)))
    assert {name: body[name] for name in nothing} == nothing
    assert "key_encoding" not in body
    assert "payload_encoding" not in body
    assert dumped(OPEN.failure(failure(fingerprint=None)))["fingerprint"] is None


@pytest.mark.parametrize(
    "text",
    ['{"z":1.0,"a" : 1}', "1" * 60, "[1E400, -0]", '"\\u00e9"', "null", "{}", '{"a":1,"a":2}'],
)
def test_a_payload_keeps_its_exact_text(text: str) -> None:
    """Order of keys, white space, big numbers."""
    assert f'"payload":{text},'.encode() in orjson.dumps(OPEN.event(event(payload=text)))


@given(st.binary())
def test_a_payload_that_is_no_json_comes_as_base64(value: bytes) -> None:
    """And says so."""
    body = dumped(OPEN.event(event(payload=None, payload_raw=value)))
    assert base64.b64decode(body["payload"]) == value
    assert body["payload_encoding"] == "base64"


def test_a_single_row_names_those_of_the_same_event() -> None:
    """Lists do not look for them."""
    assert dumped(OPEN.event(event(related=[7]), single=True))["failure_ids"] == [7]
    assert dumped(OPEN.failure(failure(related=[1]), single=True))["event_ids"] == [1]
    assert "failure_ids" not in OPEN.event(event(related=[7]))


@pytest.mark.parametrize(
    ("microsecond", "told"), [(0, "000"), (999, "000"), (1_000, "001"), (999_999, "999")]
)
def test_times_are_told_with_milliseconds(microsecond: int, told: str) -> None:
    """With all three digits, of which none is rounded."""
    assert time_text(TIME.replace(microsecond=microsecond)) == f"2016-09-19T21:35:26.{told}Z"


@pytest.mark.parametrize("offset", [-5, 0, 14])
def test_times_are_told_in_utc(offset: int) -> None:
    """Wherever they were put down."""
    time = TIME.astimezone(timezone(timedelta(hours=offset)))
    assert time_text(time) == "2016-09-19T21:35:26.854Z"


@given(st.datetimes(timezones=st.timezones()))
def test_a_time_that_is_told_is_not_later(time: datetime) -> None:
    """It is cut to the millisecond, so that `since` finds its row again."""
    if 1 < time.year < 9999:
        told = datetime.fromisoformat(time_text(time))
        assert timedelta() <= time - told < timedelta(milliseconds=1)


def test_masked_fields_are_hidden_wherever_they_are_repeated() -> None:
    """In payload, key, headers, message and backtrace."""
    record = failure(
        payload=PAYLOAD,
        key=EMAIL.encode(),
        origin=orjson.dumps({"headers": [["Email", EMAIL]], "timestamp": None}).decode(),
        error_message=f"cannot write to {EMAIL}",
        error_backtrace=json.dumps([f"a.py:1 in f: raise ValueError({EMAIL!r})"]),
    )
    text = orjson.dumps(MASKED.failure(record)).decode()
    assert EMAIL not in text
    body = json.loads(text)
    assert body["payload"] == {"email": "***", "total": 1}
    assert body["error_message"] == "cannot write to ***"
    assert EMAIL in orjson.dumps(OPEN.failure(record)).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"payload": None},
        {"payload": None, "payload_raw": b"\xff" + EMAIL.encode()},
    ],
)
def test_what_cannot_be_looked_through_is_hidden_as_a_whole(fields: dict[str, Any]) -> None:
    """Nobody knows what of it the error repeats."""
    record = failure(error_message=f"to {EMAIL}", key=EMAIL.encode(), **fields)
    body = dumped(MASKED.failure(record))
    assert body["payload"] == (None if record.payload_cut else "***")
    assert "payload_encoding" not in body
    assert (body["error_message"], body["error_backtrace"]) == ("***", ["***"])
    assert (body["key"], body["metadata"]["key"]) == ("***", "***")


def test_an_edited_payload_is_told_and_hidden_as_the_payload_is() -> None:
    """Beside it, where one failure is shown; its secrets are not in the error either."""
    edited = failure(edited=PAYLOAD.encode(), error_message=f"no {EMAIL}")
    told = orjson.dumps(OPEN.failure(edited, single=True))
    assert f'"edited_payload":{PAYLOAD}'.encode() in told
    for body in (MASKED.failure(edited, single=True), MASKED.failure(edited)):
        assert b"anna" not in orjson.dumps(body)
    raw = failure(edited=b"\xff")
    assert OPEN.failure(raw, single=True)["edited_payload"] == "/w=="
    assert OPEN.failure(raw, single=True)["edited_payload_encoding"] == "base64"
    assert MASKED.failure(raw, single=True)["edited_payload"] == "***"
    assert MASKED.failure(raw)["error_message"] == "***"


@pytest.mark.parametrize("field", ["error_message", "error_backtrace"])
def test_a_password_is_hidden_where_no_field_is(field: str) -> None:
    """Wherever the error repeats the database's URL; the lines around it stay as they are."""
    line = "cannot reach postgresql://me:s3cret@host/name"
    text = line if field == "error_message" else json.dumps(["first", line, "last"])
    told = OPEN.failure(failure(**{field: text}))
    assert b"s3cret" not in orjson.dumps(told)
    shown = "cannot reach postgresql://***@host/name"
    if field == "error_message":
        assert told["error_message"] == shown
    else:
        assert told["error_backtrace"] == ["first", shown, "last"]


def test_a_key_that_is_no_text_is_hidden_where_anything_is() -> None:
    """Nobody can look for what is masked in it."""
    body = dumped(MASKED.failure(failure(key=b"\xff" + EMAIL.encode())))
    assert (body["key"], body["metadata"]["key"]) == ("***", "***")
    assert "key_encoding" not in body


def test_a_dry_run_is_told_without_what_is_masked() -> None:
    """Be it of the stored payload, or of one that was given instead."""
    replayed = Replayed(outcome="failed", error_class="KeyError", error_message=f"to {EMAIL}, b@c")
    told = MASKED.dry_run(replayed, b'{"email": "b@c"}', failure(payload=PAYLOAD))
    assert (told["error_class"], told["error_message"]) == ("KeyError", "to ***, ***")
    told = OPEN.dry_run(replayed, None, failure(payload=PAYLOAD))
    assert told["error_message"] == replayed.error_message


def test_an_audit_entry_tells_before_and_after() -> None:
    """But not what an error said, where anything is masked: its payload is not at hand."""
    entry = AuditEntry(
        id=1,
        created_at=TIME,
        actor="anna",
        request_id="r",
        action="retry",
        subject="failure",
        subject_id=2,
        operation_id=None,
        topic="orders",
        before=json.dumps({"status": "open", "error_message": EMAIL}),
        after=None,
    )
    assert OPEN.entry(entry)["before"] == {"status": "open", "error_message": EMAIL}
    assert MASKED.entry(entry)["before"] == {"status": "open", "error_message": "***"}
    assert MASKED.entry(entry)["after"] is None


@given(
    st.lists(st.integers(min_value=0, max_value=3_000), max_size=20),
    st.integers(min_value=0, max_value=20_000),
)
def test_a_page_is_cut_but_no_row_of_it_is_left_out(sizes: list[int], most: int) -> None:
    """What does not fit is told without its large parts, and says so."""
    records = [
        failure(id=n, payload=f'"{"x" * size}"', error_message="y" * size)
        for n, size in enumerate(sizes)
    ]
    rows = json.loads(dump_page(map(OPEN.failure, records), most=most))
    assert [row["id"] for row in rows] == list(range(len(sizes)))
    whole = [row for row in rows if not row["details_cut"]]
    assert sum(len(orjson.dumps(row)) for row in whole) <= most
    for row in rows:
        assert row["payload_cut"] is row["details_cut"]
        assert (row["payload"] is None) is row["payload_cut"]
        emptied = (row["key"], row["metadata"]["key"], row["metadata"]["headers"])
        assert (emptied == (None, None, [])) is row["details_cut"]
        assert (row["error_backtrace"] == []) is row["details_cut"]
        assert len(row["error_message"]) <= 500 or not row["details_cut"]


def test_counts_say_whether_counting_ended() -> None:
    """More than the limit nobody counts."""
    assert reports.total(Count(count=10_000, capped=True)) == {"count": 10_000, "capped": True}


@pytest.mark.parametrize(
    ("outcome", "acknowledged"), [("acknowledged", True), ("skipped", False), ("duplicate", False)]
)
def test_what_was_retried_is_acknowledged_or_not(outcome: Any, *, acknowledged: bool) -> None:
    """As the ancestor said it, and with the outcome beside it."""
    told = reports.retried(Replayed(outcome=outcome))
    assert told == {"acknowledged": acknowledged, "outcome": outcome}
