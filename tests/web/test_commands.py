"""A body is read as it is meant, or refused with a sentence that says what to write."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint import Filter, Plan
from app.web.commands import Bulk, Retry, read_bulk, read_nothing, read_retry
from app.web.params import BadRequestError

TOPICS = frozenset({"orders"})
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


def bulk(**members: Any) -> Bulk:
    """Return what a body asks for."""
    return read_bulk(json.dumps(members).encode(), "retry", topics=TOPICS)


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b" { } "])
def test_no_body_is_a_plain_retry(body: bytes) -> None:
    """As the ancestor's clients send it."""
    assert read_retry(body) == Retry(payload=None, dry_run=False)
    read_nothing(body)


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1.0,"a":123456789012345678901234567890123456789012345678901234567890}',
        "[1E400,-0.0,1e-400,0.1000000000000000055511151231257827]",
        '"\\u0000"',
        "null",
    ],
)
def test_an_edited_payload_keeps_its_exact_text(text: str) -> None:
    """Order of keys, big numbers and `1.0` reach the handler as they were written."""
    asked = read_retry(f'{{"payload": {text}, "dry_run": true}}'.encode())
    assert asked == Retry(payload=text.encode(), dry_run=True)


@given(JSON)
def test_an_edited_payload_is_the_value_that_was_sent(value: Any) -> None:
    """Whatever JSON it is."""
    asked = read_retry(json.dumps({"payload": value}).encode())
    assert asked.payload is not None
    assert json.loads(asked.payload) == value


def test_an_edited_payload_may_be_bytes() -> None:
    """For handlers whose events are no JSON."""
    assert read_retry(b'{"payload_base64": "/wA="}').payload == b"\xff\x00"
    assert read_retry(b'{"payload_base64": ""}').payload == b""


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body cannot be read"),
        (b"\xff", "the body cannot be read"),
        (b'{"payload": NaN}', "the body cannot be read"),
        (b'{"payload": -Infinity}', "the body cannot be read"),
        (b'{"payload": ' + b"[" * 60_000, "the body cannot be read"),
        (b'{"payload": ' + b"[" * 300 + b"]" * 300 + b"}", "the payload cannot be used"),
        (b'{"payload": "\\ud800"}', "the payload cannot be used"),
        (b"[]", "write a JSON object"),
        (b"null", "write a JSON object"),
        (b'"dry_run"', "write a JSON object"),
        (b'{"payloud": 1}', "no member payloud: write one of payload, payload_base64, dry_run"),
        (b'{"payload": 1, "payload": 2}', "has a member twice"),
        (b'{"payload": {"a": 1, "a": 2}}', "has a member twice"),
        (b'{"payload": 1, "payload_base64": ""}', "either payload or payload_base64"),
        (b'{"payload_base64": "a"}', "the payload cannot be used"),
        (b'{"payload_base64": "/w==\\n"}', "the payload cannot be used"),
        (b'{"payload_base64": 1}', "the payload cannot be used"),
        (b'{"dry_run": 1}', "dry_run cannot be used: write true or false"),
        (b'{"dry_run": null}', "dry_run cannot be used: write true or false"),
    ],
)
def test_a_retry_that_cannot_be_meant_is_refused(body: bytes, message: str) -> None:
    """Rather than run a handler with something else."""
    with pytest.raises(BadRequestError, match=message):
        read_retry(body)


def test_what_takes_no_members_refuses_them() -> None:
    """They would be passed over."""
    with pytest.raises(BadRequestError, match=r"^there is no member a: write none$"):
        read_nothing(b'{"a": 1}')


def test_many_are_selected_by_their_ids() -> None:
    """The rest of the plan is the engine's to choose."""
    assert bulk(ids=[3, 1]) == Bulk(
        plan=Plan(action="retry", ids=(3, 1), filter=Filter(topics=TOPICS)), dry_run=False
    )


def test_many_are_selected_by_a_filter() -> None:
    """With the names of the list's parameters, and within what the caller may see."""
    asked = bulk(
        filter={"agent": "a", "partition": 3, "error": "x", "group": "0a" * 16},
        dry_run=True,
        limit=5,
        rate=0.5,
        canary=[2, 3],
        failure_ratio=0,
    )
    where = Filter(topics=TOPICS, agent="a", partition=3, error_text="x", fingerprint=b"\n" * 16)
    plan = Plan(action="retry", filter=where, limit=5, rate=0.5, canary=(2, 3), failure_ratio=0)
    assert asked == Bulk(plan=plan, dry_run=True)


def test_a_whole_number_may_be_written_with_a_point() -> None:
    """JSON has one kind of number."""
    asked = read_bulk(b'{"ids": [1.0, 2e1], "limit": 5.0, "rate": 1.5}', "discard", topics=None)
    assert (asked.plan.ids, asked.plan.limit, asked.plan.rate) == ((1, 20), 5, 1.5)
    assert [type(number) for number in asked.plan.ids or ()] == [int, int]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "write either ids or filter"),
        ({"ids": [1], "filter": {}}, "write either ids or filter"),
        ({"ids": 1}, "ids cannot be used: write a list"),
        ({"ids": {"1": 2}}, "ids cannot be used: write a list"),
        ({"ids": [1], "canary": 5}, "canary cannot be used: write a list"),
        ({"ids": [1], "dry_run": "true"}, "dry_run cannot be used"),
        ({"ids": [1], "action": "discard"}, "no member action"),
        ({"filter": []}, "filter cannot be used: write an object"),
        ({"filter": {"entity": "a"}}, "no parameter entity: write one of topic"),
        ({"filter": {"status": "all"}}, "no parameter status"),
        ({"filter": {"topic": 1}}, "topic cannot be used: write a text"),
        ({"filter": {"topic": None}}, "topic cannot be used: write a text"),
        ({"filter": {"partition": "1"}}, "partition cannot be used: write a whole number"),
        ({"filter": {"partition": True}}, "partition cannot be used: write a whole number"),
        ({"filter": {"partition": -1}}, "partition cannot be used: write a whole number"),
        ({"filter": {"topic": ""}}, "topic cannot be used: write a text"),
    ],
)
def test_a_selection_that_cannot_be_meant_is_refused(members: dict[str, Any], message: str) -> None:
    """Rather than touch failures that nobody meant."""
    with pytest.raises(BadRequestError, match=message):
        bulk(**members)
