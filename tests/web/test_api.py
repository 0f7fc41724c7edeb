"""The views answer as the ancestor's did, and tell what there is beside."""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from app.checkpoint import ack, skip
from app.checkpoint.models import FailureRow
from app.main import app
from app.web.security import Access
from tests.web.served import Served, served

FULL = "f" * 32
SCOPED = "s" * 32
TOKENS = {
    FULL: Access(name="anna", full=True),
    SCOPED: Access(name="berta", full=True, topics=frozenset({"orders"})),
}
EXACT = b'{"b" : 1.0, "a": 123456789012345678901234567890, "b ": "\xc3\xa9"}'


@pytest.fixture
async def service(database_url: str) -> AsyncIterator[Served]:
    """Serve a desk on each kind of database in turn, without tokens."""
    async with served(database_url) as service:
        yield service


@pytest.fixture
async def small(sqlite_url: str) -> AsyncIterator[Served]:
    """Serve a desk on SQLite: for what has nothing to do with the database."""
    async with served(sqlite_url) as service:
        yield service


async def acked(service: Served, *values: bytes, **fields: Any) -> None:
    """Record events as handled, oldest first."""
    writer = service.desk.writer()
    for offset, value in enumerate(values):
        answer = ack(f"entity-{offset}", offset, "placed", 1)
        await writer.ack(writer.event(value, offset=offset, **fields), answer=answer)


async def test_ping_answers_pong() -> None:
    """A health check gets PONG as plain text."""
    async with TestClient(TestServer(await app.web.wsgi())) as client:
        response = await client.get("/ping")
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert await response.text() == "PONG"


async def test_an_event_is_shown_with_its_exact_payload(service: Served) -> None:
    """Key order, big numbers and `1.0` are those of the message."""
    await acked(service, EXACT)
    response = await service.client.get("/v1/events/1")
    assert response.status == 200
    assert response.content_type == "application/json"
    assert b'"payload":' + EXACT + b"," in await response.read()
    body = await response.json()
    assert (body["id"], body["entity_id"], body["event_type"]) == (1, "entity-0", "placed")
    assert body["event_time"] == "1970-01-01T00:00:00.000Z"
    assert body["failure_ids"] == []


@pytest.mark.parametrize("text", ["99", "abc", "0", "-1", "1.0", "9223372036854775808", "%00"])
@pytest.mark.parametrize("subject", ["event", "failure", "operation"])
async def test_what_there_is_not_is_not_found(small: Served, subject: str, text: str) -> None:
    """Be it no id at all."""
    response = await small.client.get(URL(f"/v1/{subject}s/{text}", encoded=True))
    told = await small.told(response, 404)
    assert (told["error"], told["message"]) == (True, f"{subject} not found")


async def test_no_route_is_not_found(small: Served) -> None:
    """As everything that there is not."""
    assert (await small.told(await small.client.get("/v1/nothing"), 404))["message"] == "not found"


async def test_what_a_route_does_not_do_it_says(small: Served) -> None:
    """HEAD is there where GET is, and only there."""
    for method in ("PUT", "POST", "PATCH"):
        headers = {"Content-Type": "application/json"}
        response = await small.client.request(method, "/v1/events", headers=headers)
        await small.told(response, 405)
        assert response.headers["Allow"] == "GET,HEAD"
    response = await small.client.head("/v1/failures/retry")
    assert (response.status, response.headers["Allow"]) == (405, "POST")
    response = await small.client.head("/v1/events")
    assert (response.status, await response.read()) == (200, b"")


async def test_events_are_listed_newest_first(service: Served) -> None:
    """As a bare array."""
    await acked(service, b"1", b"2", b"3")
    assert [row["payload"] for row in await service.get("/v1/events")] == [3, 2, 1]
    assert [row["payload"] for row in await service.get("/v1/events", limit=1, offset=1)] == [2]
    assert await service.get("/v1/events", entity_id="entity-1", topic="orders", limit=200)
    assert await service.get("/v1/events", entity_id="entity-1", topic="other") == []


async def pages(service: Served, path: str) -> AsyncIterator[tuple[URL, list[Any]]]:
    """Yield each page and where it was asked for, ten at most."""
    url = URL(path)
    for _ in range(10):
        response = await service.client.get(url)
        yield url, await service.told(response, 200)
        if "next" not in response.links:
            return
        url = URL(str(response.links["next"]["url"])).relative()


async def test_links_lead_from_the_first_page_to_the_last(service: Served) -> None:
    """With the filters that were asked for; the last has no link."""
    for offset in range(5):
        await service.desk.fail(b"%d" % offset, offset=offset)
    await service.desk.fail(b"5", agent="transactional", offset=5)
    found = [page async for page in pages(service, "/v1/failures?limit=2&agent=plain&offset=1")]
    for url, _ in found[1:]:
        assert url.query["agent"] == "plain"
        assert "offset" not in url.query
    assert [row["payload"] for _, rows in found for row in rows] == [3, 2, 1, 0]


async def test_a_bad_query_is_refused_with_a_sentence(small: Served) -> None:
    """In the words of whoever reads it."""
    for path in ("/v1/events?limit=abc", "/v1/failures?limit=0", "/v1/failures/count?limit=1"):
        told = await small.told(await small.client.get(path), 400)
        assert "limit" in told["message"]
        assert told["request_id"]
    told = await small.told(await small.client.get("/v1/stats?topic=a"), 400)
    assert told["message"] == "there is no parameter topic: write none"


async def test_failures_are_listed_counted_and_shown(service: Served) -> None:
    """The count is never taken for an id."""
    desk = service.desk
    await desk.fail(b"1", offset=1, headers=(("h", b"\xff"),))
    await desk.fail(b"\xff", offset=2)
    assert await service.get("/v1/failures/count") == {"count": 2, "capped": False}
    raw, first = await service.get("/v1/failures")
    assert (raw["payload"], raw["payload_encoding"]) == ("/w==", "base64")
    assert first["metadata"]["headers"] == [["h", {"base64": "/w=="}]]
    assert await service.get("/v1/failures", status="resolved") == []
    shown = await service.get(f"/v1/failures/{first['id']}")
    assert (shown["error_class"], shown["status"], shown["event_ids"]) == (
        "LookupError",
        "open",
        [],
    )


async def test_failures_are_grouped_by_what_mends_them(service: Served) -> None:
    """And a group can be listed."""
    for offset in range(3):
        await service.desk.fail(b"%d" % offset, offset=offset)
    await service.desk.fail(b"1", agent="transactional")
    groups = await service.get("/v1/failures/groups")
    assert [(group["agent"], group["count"]) for group in groups] == [
        ("transactional", 1),
        ("plain", 3),
    ]
    listed = await service.get("/v1/failures", group=groups[1]["fingerprint"])
    assert [row["id"] for row in listed] == [3, 2, 1]
    assert groups[1]["sample"]["id"] == 3


async def test_pages_of_groups_lead_to_one_another(service: Served) -> None:
    """By their offset; the last one leads nowhere."""
    for agent in ("plain", "transactional", "filtered"):
        await service.desk.fail(agent=agent)
    found = [rows async for _, rows in pages(service, "/v1/failures/groups?limit=2")]
    agents = [[group["agent"] for group in rows] for rows in found]
    assert agents == [["filtered", "transactional"], ["plain"]]


async def test_what_shows_samples_is_cut_as_lists_are(service: Served) -> None:
    """However large what they show of each, and none is left out."""
    for agent in ("plain", "transactional"):
        await service.desk.fail(key=b"k" * 600_000, agent=agent)
    groups = await service.get("/v1/failures/groups")
    assert [group["sample"]["details_cut"] for group in groups] == [False, True]
    preview = await service.post("/v1/failures/retry", {"filter": {}, "dry_run": True})
    assert [sample["details_cut"] for sample in preview["sample"]] == [False, True]


async def test_a_retry_that_is_acknowledged_says_so(service: Served) -> None:
    """The event is there, the failure is resolved, and each names the other."""
    failure_id = await service.desk.fail(EXACT)
    told = await service.post(f"/v1/failures/{failure_id}/retry")
    assert told == {"acknowledged": True, "outcome": "acknowledged"}
    failure = await service.get(f"/v1/failures/{failure_id}")
    [event_id] = failure["event_ids"]
    assert failure["status"] == "resolved"
    assert (await service.get(f"/v1/events/{event_id}"))["failure_ids"] == [failure_id]
    assert await service.get("/v1/failures/count") == {"count": 0, "capped": False}


async def test_a_retry_that_is_skipped_says_so(service: Served) -> None:
    """It is done, but not acknowledged."""
    failure_id = await service.desk.fail()
    service.desk.answer = skip()
    told = await service.post(f"/v1/failures/{failure_id}/retry")
    assert told == {"acknowledged": False, "outcome": "skipped"}


async def test_a_retry_that_fails_tells_what_the_handler_raised(service: Served) -> None:
    """And the failure stays."""
    failure_id = await service.desk.fail()
    service.desk.error = ValueError("no such order")
    told = await service.post(f"/v1/failures/{failure_id}/retry", status=422)
    assert (told["error"], told["message"]) == (True, "no such order")
    assert told["error_class"] == "ValueError"
    assert (await service.get(f"/v1/failures/{failure_id}"))["status"] == "open"


async def test_what_is_settled_is_not_retried(service: Served) -> None:
    """The answer says how it was settled."""
    failure_id = await service.desk.fail()
    assert await service.told(
        await service.client.delete(f"/v1/failures/{failure_id}", params={"reason": "a test"}), 200
    ) == {"acknowledged": True}
    told = await service.post(f"/v1/failures/{failure_id}/retry", status=409)
    assert told["status"] == "discarded"
    [entry] = await service.get("/v1/audit", subject="failure", subject_id=failure_id)
    assert (entry["action"], entry["actor"]) == ("discard", "local")
    assert entry["after"]["reason"] == "a test"


async def test_an_edited_value_reaches_the_handler_as_it_was_written(service: Served) -> None:
    """The event row keeps it, and the failure its own."""
    failure_id = await service.desk.fail(b"{bad")
    text = '{"b":1.0,"a":123456789012345678901234567890}'
    response = await service.client.post(
        f"/v1/failures/{failure_id}/retry",
        data=f'{{"payload": {text}}}',
        headers={"Content-Type": "application/json"},
    )
    assert (await service.told(response, 200))["acknowledged"] is True
    [event] = await service.desk.events()
    assert event.payload == text
    told = await service.get(f"/v1/failures/{failure_id}")
    assert (told["payload"], told["payload_encoding"]) == ("e2JhZA==", "base64")
    assert told["edited_payload"] == {"b": 1.0, "a": 123456789012345678901234567890}
    [listed] = await service.get("/v1/failures", status="all")
    assert "edited_payload" not in listed


async def test_a_dry_run_changes_nothing(service: Served) -> None:
    """It tells what a retry would come to."""
    path = f"/v1/failures/{await service.desk.fail(agent='transactional')}/retry"
    told = await service.post(path, {"dry_run": True})
    assert told["outcome"] == "acknowledged"
    service.desk.error = ValueError("no")
    told = await service.post(path, {"dry_run": True})
    assert (told["outcome"], told["error_class"], told["error_message"]) == (
        "failed",
        "ValueError",
        "no",
    )
    assert (await service.get("/v1/failures/count"))["count"] == 1
    assert await service.desk.effects() == 0


async def test_a_dry_run_of_what_cannot_be_undone_is_refused(service: Served) -> None:
    """Rather than done."""
    path = f"/v1/failures/{await service.desk.fail()}/retry"
    told = await service.post(path, {"dry_run": True}, status=422)
    assert "not transactional" in told["message"]
    assert service.desk.seen == []


async def test_an_event_is_handled_again_by_force(service: Served) -> None:
    """As often as it is asked for."""
    await acked(service, b"1")
    for _ in range(2):
        told = await service.post("/v1/events/1/retry")
        assert told == {"acknowledged": True, "outcome": "acknowledged"}
    assert len(service.desk.seen) == 2
    assert len(await service.get("/v1/events")) == 1
    await service.post("/v1/events/2/retry", status=404)
    await service.post("/v1/events/1/retry", {"payload": 1}, status=400)


async def test_many_are_shown_before_they_are_started_on(service: Served) -> None:
    """Started, an operation has a place where it is found, and can be cancelled."""
    for offset in range(7):
        await service.desk.fail(b"%d" % offset, offset=offset)
    body = {"filter": {"agent": "plain"}, "dry_run": True}
    preview = await service.post("/v1/failures/retry", body)
    assert (preview["count"], preview["capped"], len(preview["sample"])) == (7, False, 5)
    body = {"ids": [2, 1, 99], "canary": [1], "rate": 10}
    response = await service.client.post("/v1/failures/discard", json=body)
    started = await service.told(response, 202)
    assert (started["action"], started["status"], started["total"]) == ("discard", "running", 2)
    where = response.headers["Location"]
    assert await service.get(where) == started
    assert await service.get("/v1/operations") == [started]
    assert (await service.post(f"{where}/cancel"))["status"] == "cancelled"
    assert (await service.post(f"{where}/cancel", status=409))["status"] == "cancelled"
    for plan in ({"rate": 0}, {"canary": [0]}, {"failure_ratio": 2}, {"limit": 10**6}):
        await service.post("/v1/failures/retry", {"ids": [1], **plan}, status=400)


async def test_the_whole_is_counted(service: Served) -> None:
    """By status, topic and agent."""
    await acked(service, b"1", b"2")
    await service.desk.fail(b"3")
    stats = await service.get("/v1/stats")
    assert stats["events"] == {
        "count": 2,
        "capped": False,
        "by_topic": {"orders": 2},
        "by_agent": {"plain": 2},
    }
    assert stats["failures"]["by_status"]["open"] == {"count": 1, "capped": False}
    assert stats["failures"]["unresolved_by_agent"] == {"plain": 1}


async def test_the_audit_is_read_page_by_page(service: Served) -> None:
    """Newest first; the last page has no link."""
    ids = [await service.desk.fail(b"%d" % n, offset=n) for n in range(5)]
    for failure_id in ids:
        await service.client.delete(f"/v1/failures/{failure_id}")
    found = [rows async for _, rows in pages(service, "/v1/audit?limit=2")]
    assert [entry["subject_id"] for rows in found for entry in rows] == ids[::-1]
    assert "next" not in (await service.client.get("/v1/audit?limit=6")).links


async def test_whoever_may_see_some_topics_sees_no_others(database_url: str) -> None:
    """Neither in lists nor by id, and they change nothing there."""
    async with served(database_url, tokens=TOKENS) as service:
        desk = service.desk
        writer = desk.writer()
        for offset, topic in enumerate(("orders", "payments")):
            await desk.fail(b"%d" % offset, topic=topic, offset=offset)
            await writer.ack(writer.event(b"1%d" % offset, topic=topic, offset=offset))
        mine = {"Authorization": f"Bearer {SCOPED}"}
        for path in ("/v1/events", "/v1/failures"):
            listed = await service.told(await service.client.get(path, headers=mine), 200)
            assert {row["topic"] for row in listed} == {"orders"}
            response = await service.client.get(path, params={"topic": "payments"}, headers=mine)
            assert await service.told(response, 200) == []
        for method, path in (
            ("GET", "/v1/failures/2"),
            ("DELETE", "/v1/failures/2"),
            ("POST", "/v1/failures/2/retry"),
            ("GET", "/v1/events/2"),
            ("POST", "/v1/events/2/retry"),
        ):
            response = await service.client.request(method, path, headers=mine)
            await service.told(response, 404)
        response = await service.client.get("/v1/failures/count", headers=mine)
        assert (await service.told(response, 200))["count"] == 1
        response = await service.client.post(
            "/v1/failures/retry", json={"ids": [1, 2]}, headers=mine
        )
        operation = await service.told(response, 202)
        assert operation["total"] == 1
        assert operation["actor"] == "berta"
        assert [row.status for row in await desk.rows(FailureRow)] == ["open", "open"]


async def test_masked_fields_are_hidden(sqlite_url: str) -> None:
    """In lists, details, dry runs and errors."""
    async with served(sqlite_url, masked_fields=["email"]) as service:
        value = b'{"email": "anna@example.com"}'
        failure_id = await service.desk.fail(value, agent="transactional")
        service.desk.error = ValueError("cannot write to anna@example.com")
        path = f"/v1/failures/{failure_id}"
        retry = f"{path}/retry"
        answers = [
            await service.client.post(retry, json={"dry_run": True}),
            await service.client.post(retry, json={}),
            await service.client.get(path),
            await service.client.get("/v1/failures"),
            await service.client.get("/v1/audit"),
            await service.client.get("/v1/failures/groups"),
        ]
        for response in answers:
            assert response.status in {200, 422}
            assert "anna@" not in await response.text()


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_filter_means_what_it_says(small: Served, text: str) -> None:
    """Nothing in it is taken for SQL."""
    writer = small.desk.writer(group_id=text[:255])
    await writer.ack(writer.event(json.dumps(text).encode(), topic="t"))
    rows = await small.get("/v1/events", group_id=text[:255])
    assert {row["group_id"] for row in rows} == {text[:255]}


async def test_the_page_for_people_needs_nothing_from_elsewhere(small: Served) -> None:
    """No script at all, and a style that its policy names."""
    response = await small.client.get("/v1/docs")
    text = await response.text()
    assert response.content_type == "text/html"
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    [style] = re.findall("<style>(.*)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = response.headers["Content-Security-Policy"]
    assert f"style-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    document = await small.get("/v1/openapi.json")
    for path in document["paths"]:
        assert f" {path}</code>" in text
