"""A failed event is handled again once per call, and whatever comes of it is kept."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import text, update

from app.checkpoint import (
    Actor,
    ConflictError,
    HandlerError,
    NotFoundError,
    Notification,
    Replayed,
    ReplayError,
    skip,
)
from app.checkpoint.identity import checksum
from app.checkpoint.models import FailureRow, OperationItemRow, utcnow
from app.checkpoint.replay import AT_ONCE, Replay
from tests.checkpoint.desk import OPERATOR, Desk
from tests.checkpoint.writer import ACK
from tests.polling import eventually_async

EXACT = b'{"b" : 1.0, "a": 123456789012345678901234567890, "b ": "\xc3\xa9"}'
"""JSON whose text is not what any encoder would write."""
AGENTS = pytest.mark.parametrize("agent", ["plain", "transactional"])


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    """Return a service on each kind of database in turn."""
    async with Desk(database_url).opened() as desk:
        yield desk


@pytest.fixture(params=["postgresql", "mariadb"])
async def served(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Return a service on a database that has several writers at once."""
    async with Desk(request.getfixturevalue(f"{request.param}_url")).opened() as desk:
        yield desk


@AGENTS
async def test_an_ack_records_the_event_and_resolves_the_failure(desk: Desk, agent: str) -> None:
    """The event row is what the stream would have written, and the failure's history is kept."""
    failure_id = await desk.fail(EXACT, agent, key=b"\xff", partition=3, offset=42)
    before = await desk.failure(failure_id)
    assert await desk.replay.retry(failure_id, by=OPERATOR) == Replayed(outcome="acknowledged")
    [event] = await desk.events()
    after = await desk.failure(failure_id)
    assert (event.identity, event.checksum) == (before.identity, checksum(EXACT))
    assert event.payload == EXACT.decode()
    assert (event.key, event.partition, event.offset) == (b"\xff", 3, 42)
    assert (event.agent, event.topic, event.group_id) == (agent, "orders", "service")
    assert (event.entity_id, event.event_time) == (ACK.entity_id, ACK.event_time)
    assert (after.status, after.open_key, after.claimed_by) == ("resolved", None, None)
    for kept in ("attempts", "error_class", "error_message", "error_backtrace", "payload"):
        assert getattr(after, kept) == getattr(before, kept)
    assert await desk.effects() == (agent == "transactional")


@AGENTS
async def test_a_skip_resolves_the_failure_without_an_event(desk: Desk, agent: str) -> None:
    """There is nothing to record, and nothing left to retry."""
    failure_id = await desk.fail(agent=agent)
    desk.answer = skip()
    assert await desk.replay.retry(failure_id, by=OPERATOR) == Replayed(outcome="skipped")
    assert await desk.events() == []
    assert (await desk.failure(failure_id)).status == "resolved"


@AGENTS
async def test_an_error_keeps_the_failure(desk: Desk, agent: str) -> None:
    """Also without any retries: it counts the attempt, and shows the latest error."""
    failure_id = await desk.fail(agent=agent)
    desk.error = ValueError("still broken")
    with pytest.raises(HandlerError, match=r"^still broken$") as raised:
        await desk.replay.retry(failure_id, by=OPERATOR)
    assert raised.value.error_class == "ValueError"
    row = await desk.failure(failure_id)
    assert (row.status, row.claimed_by, row.attempts) == ("open", None, 2)
    assert (row.error_class, row.error_message) == ("ValueError", "still broken")
    assert "in _plain: raise self.error" in orjson.loads(row.error_backtrace)[-1]
    assert row.last_failed_at > row.first_failed_at
    assert row.open_key == row.identity
    assert await desk.effects() == 0
    assert await desk.events() == []


@AGENTS
async def test_what_is_recorded_is_not_handled_again(desk: Desk, agent: str) -> None:
    """A twin that the stream has recorded settles the failure."""
    failure_id = await desk.fail(agent=agent)
    writer = desk.writer(agent)
    await writer.ack(writer.event(b"{}"))
    assert await desk.replay.retry(failure_id, by=OPERATOR) == Replayed(outcome="duplicate")
    assert desk.seen == []
    assert (await desk.failure(failure_id)).status == "resolved"


async def test_the_handler_sees_the_event_as_it_came(desk: Desk) -> None:
    """Key, headers, time and checksum, as on the first attempt."""
    headers = (("kind", b"order"), ("binary", b"\xff\x00"), ("none", None), ("kind", b""))
    failure_id = await desk.fail(EXACT, key=b"k", headers=headers, timestamp=12.5, offset=7)
    await desk.replay.retry(failure_id, by=OPERATOR)
    [(payload, metadata)] = desk.seen
    assert payload == orjson.loads(EXACT)
    assert (metadata.key, metadata.headers, metadata.timestamp) == (b"k", headers, 12.5)
    assert (metadata.agent, metadata.topic, metadata.group_id) == ("plain", "orders", "service")
    assert (metadata.partition, metadata.offset) == (0, 7)
    assert metadata.attempt == 1
    assert metadata.checksum == checksum(EXACT).hex()  # type: ignore[union-attr]


async def test_a_null_value_stays_one(desk: Desk) -> None:
    """A tombstone's retry gets None, and its row no payload."""
    failure_id = await desk.fail(None)
    await desk.replay.retry(failure_id, by=OPERATOR)
    [(payload, _)] = desk.seen
    [event] = await desk.events()
    assert payload is None
    assert (event.payload, event.payload_raw, event.checksum) == (None, None, None)


async def test_what_could_not_be_decoded_can_be_edited(desk: Desk) -> None:
    """The event is the same one: the edited value is recorded under its identity."""
    failure_id = await desk.fail(b"{bad", offset=5)
    with pytest.raises(HandlerError):
        await desk.replay.retry(failure_id, by=OPERATOR)
    assert desk.seen == []
    await desk.replay.retry(failure_id, by=OPERATOR, payload=EXACT)
    [event] = await desk.events()
    row = await desk.failure(failure_id)
    assert (event.payload, event.checksum) == (EXACT.decode(), checksum(EXACT))
    assert (row.payload_raw, row.edited) == (b"{bad", EXACT)
    assert event.identity == row.identity
    writer = desk.writer()
    assert (await writer.known(writer.event(b"{bad", offset=5))).settled(
        writer.event(b"{bad", offset=5)
    )


async def test_an_edit_that_fails_is_kept_beside_the_original(desk: Desk) -> None:
    """So that the next edit can begin with it."""
    failure_id = await desk.fail()
    desk.error = ValueError("no")
    with pytest.raises(HandlerError):
        await desk.replay.retry(failure_id, by=OPERATOR, payload=EXACT)
    row = await desk.failure(failure_id)
    assert (row.payload, row.edited, row.status) == ("{}", EXACT, "open")
    [audit] = await desk.audit()
    assert orjson.loads(audit.after)["edited"] is True


async def test_the_agent_is_found_by_its_name(desk: Desk) -> None:
    """Of two that share a topic and a group, the one whose event it was."""
    failure_id = await desk.fail(agent="transactional")
    await desk.replay.retry(failure_id, by=OPERATOR)
    [(_, metadata)] = desk.seen
    assert metadata.agent == "transactional"


@pytest.mark.parametrize(
    ("agent", "group_id", "message"),
    [("gone", "service", "no agent gone"), ("plain", "other", "belongs to the group other")],
)
async def test_another_service_s_event_is_refused(
    desk: Desk, agent: str, group_id: str, message: str
) -> None:
    """The failure stays as it was, and can be retried where its agent is."""
    writer = desk.writer(agent, group_id=group_id)
    await writer.fail(writer.failed(writer.event(b"{}")))
    [before] = await desk.rows(FailureRow)
    with pytest.raises(ReplayError, match=message):
        await desk.replay.retry(before.id, by=OPERATOR)
    assert await desk.rows(FailureRow) == [before]


async def test_of_twenty_at_once_one_runs(desk: Desk) -> None:
    """The others are told that it runs, also those of another process."""
    failure_id = await desk.fail()
    desk.hold = asyncio.Event()
    other = Replay(desk.checkpoint, desk.app)
    first = asyncio.create_task(desk.replay.retry(failure_id, by=OPERATOR))
    await desk.until_running()
    others = [
        asyncio.create_task(each.retry(failure_id, by=OPERATOR))
        for each in [desk.replay] * 9 + [other] * 10
    ]
    refused = await asyncio.gather(*others, return_exceptions=True)
    desk.hold.set()
    assert await first == Replayed(outcome="acknowledged")
    assert all(isinstance(each, ConflictError) for each in refused), refused
    assert {each.status for each in refused if isinstance(each, ConflictError)} == {"retrying"}
    assert len(desk.seen) == len(await desk.events()) == len(await desk.audit()) == 1
    await other.close()


@AGENTS
async def test_of_those_that_begin_at_the_same_time_one_runs(desk: Desk, agent: str) -> None:
    """The database decides which, not who looked first."""
    failure_id = await desk.fail(agent=agent)
    other = Replay(desk.checkpoint, desk.app)
    retries = [each.retry(failure_id, by=OPERATOR) for each in (desk.replay, other) * 4]
    results = await asyncio.gather(*retries, return_exceptions=True)
    assert results.count(Replayed(outcome="acknowledged")) == 1
    assert sum(isinstance(each, ConflictError) for each in results) == 7, results
    assert len(desk.seen) == 1
    await other.close()


async def test_who_cannot_retry_is_told_at_once(served: Desk) -> None:
    """Also while as many handlers run as may."""
    failure_ids = [await served.fail(b"%d" % number) for number in range(AT_ONCE)]
    served.hold = asyncio.Event()
    retries = [asyncio.create_task(served.replay.retry(each, by=OPERATOR)) for each in failure_ids]
    await served.until_running(AT_ONCE)
    async with asyncio.timeout(5):
        with pytest.raises(ConflictError):
            await served.replay.retry(failure_ids[0], by=OPERATOR)
    served.hold.set()
    await asyncio.gather(*retries)


async def test_a_discard_does_not_wait_for_handlers(served: Desk) -> None:
    """As many handlers as may run at once hold connections, and a discard still gets one."""
    running = [await served.fail(b"%d" % number, "transactional") for number in range(AT_ONCE)]
    failure_id = await served.fail()
    served.hold = asyncio.Event()
    retries = [asyncio.create_task(served.replay.retry(each, by=OPERATOR)) for each in running]
    await served.until_running(AT_ONCE)
    async with asyncio.timeout(5):
        await served.replay.discard(failure_id, by=OPERATOR)
    served.hold.set()
    await asyncio.gather(*retries)
    assert await served.effects() == AT_ONCE


async def test_a_retry_does_not_wait_for_the_stream_s_connections(served: Desk) -> None:
    """While the agents hold all of theirs, it has its own."""
    failure_id = await served.fail()
    async with AsyncExitStack() as held:
        for _ in range(served.database.engine.pool.size()):  # type: ignore[attr-defined]
            await held.enter_async_context(served.database.engine.connect())
        async with asyncio.timeout(5):
            await served.replay.retry(failure_id, by=OPERATOR)


async def test_a_claim_is_renewed_while_the_handler_runs(desk: Desk) -> None:
    """However long it takes, no other process takes the failure over."""
    failure_id = await desk.fail()
    desk.hold = asyncio.Event()
    replay = Replay(desk.checkpoint, desk.app, renewal=0.01)
    retry = asyncio.create_task(replay.retry(failure_id, by=OPERATOR))
    await desk.until_running()
    claimed_at = (await desk.failure(failure_id)).claimed_at

    async def renewed() -> None:
        assert (await desk.failure(failure_id)).claimed_at > claimed_at

    await eventually_async(renewed)
    desk.hold.set()
    await retry
    await replay.close()


async def test_an_event_that_the_stream_records_meanwhile_has_its_effect_once(served: Desk) -> None:
    """What the retry's handler has written is taken back."""
    failure_id = await served.fail(agent="transactional")
    served.hold = asyncio.Event()
    retry = asyncio.create_task(served.replay.retry(failure_id, by=OPERATOR))
    await served.until_running()
    writer = served.writer("transactional")
    await writer.ack(writer.event(b"{}", offset=9))
    served.hold.set()
    assert await retry == Replayed(outcome="duplicate")
    assert await served.effects() == 0
    assert (await served.failure(failure_id)).status == "resolved"


@AGENTS
async def test_a_row_that_the_database_refuses_is_the_event_s_failure(
    sqlite_url: str, agent: str
) -> None:
    """A constraint that a service has put on the table: nothing waits for it to go away."""
    refuse = (
        "CREATE TRIGGER refuse BEFORE INSERT ON checkpoint_events"
        " BEGIN SELECT RAISE(ABORT, 'no such order'); END"
    )
    async with Desk(sqlite_url).opened() as desk:
        failure_id = await desk.fail(agent=agent)
        async with desk.database.engine.begin() as connection:
            await connection.execute(text(refuse))
        with pytest.raises(HandlerError, match="no such order"):
            await desk.replay.retry(failure_id, by=OPERATOR)
        row = await desk.failure(failure_id)
        assert (row.status, row.attempts, await desk.effects()) == ("open", 2, 0)


async def test_a_handler_does_not_run_again_because_recording_failed(sqlite_url: str) -> None:
    """It waits until the database is back, as the stream does."""
    async with Desk(sqlite_url).opened() as desk:
        failure_id = await desk.fail()
        desk.hold = asyncio.Event()
        retry = asyncio.create_task(desk.replay.retry(failure_id, by=OPERATOR))
        await desk.until_running()
        async with desk.database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE checkpoint_events RENAME TO away"))
        desk.hold.set()

        async def waits() -> None:
            assert desk.checkpoint.outages.since is not None

        await eventually_async(waits)
        async with desk.database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE away RENAME TO checkpoint_events"))
        assert await retry == Replayed(outcome="acknowledged")
        assert len(desk.seen) == len(await desk.events()) == 1


@pytest.mark.parametrize("ended", ["resolved", "discarded"])
async def test_what_is_settled_is_not_retried(desk: Desk, ended: str) -> None:
    """Nor discarded: whoever asks is told what it is."""
    failure_id = await desk.fail()
    if ended == "resolved":
        await desk.replay.retry(failure_id, by=OPERATOR)
    else:
        await desk.replay.discard(failure_id, by=OPERATOR)
    for act in (desk.replay.retry, desk.replay.discard):
        with pytest.raises(ConflictError, match=f"^the failure is {ended}$") as refused:
            await act(failure_id, by=OPERATOR)
        assert refused.value.status == ended
    assert len(await desk.audit()) == 1


async def test_a_retry_whose_process_died_is_taken_up_again(desk: Desk) -> None:
    """Once its claim is old; until then it may still run."""
    failure_id = await desk.fail()
    await _claim(desk, failure_id, seconds_ago=29)
    with pytest.raises(ConflictError, match="runs"):
        await desk.replay.retry(failure_id, by=OPERATOR)
    with pytest.raises(ConflictError, match="runs"):
        await desk.replay.discard(failure_id, by=OPERATOR)
    await _claim(desk, failure_id, seconds_ago=31)
    assert await desk.replay.retry(failure_id, by=OPERATOR) == Replayed(outcome="acknowledged")


@AGENTS
async def test_a_lost_claim_settles_nothing(desk: Desk, agent: str) -> None:
    """Who was silent for too long finds that another retry has the failure, and undoes its own."""
    failure_id = await desk.fail(agent=agent)
    desk.hold = asyncio.Event()
    late = asyncio.create_task(desk.replay.retry(failure_id, by=OPERATOR))
    await desk.until_running()
    if desk.database.dialect == "sqlite" and agent == "transactional":
        # Its one writer is the handler's transaction: nobody can take over.
        desk.hold.set()
        await late
        return
    await _claim(desk, failure_id, seconds_ago=0)
    desk.hold.set()
    with pytest.raises(ConflictError) as refused:
        await late
    assert refused.value.status == "retrying"
    assert await desk.events() == []
    assert await desk.effects() == 0
    assert (await desk.failure(failure_id)).claimed_by == "another"


@pytest.mark.parametrize("error", [None, ValueError("no")])
async def test_a_twin_that_the_stream_records_meanwhile_settles_it(
    desk: Desk, error: Exception | None
) -> None:
    """There is one event row, and the failure stays resolved, whatever the retry comes to."""
    failure_id = await desk.fail()
    desk.hold = asyncio.Event()
    retry = asyncio.create_task(desk.replay.retry(failure_id, by=OPERATOR))
    await desk.until_running()
    writer = desk.writer()
    await writer.resolve(writer.event(b"{}", offset=9))
    settled = await desk.failure(failure_id)
    desk.error = error
    desk.hold.set()
    with pytest.raises(HandlerError if error else ConflictError):
        await retry
    assert await desk.failure(failure_id) == settled
    assert settled.status == "resolved"
    assert len(await desk.events()) == 1


async def test_a_dry_run_takes_all_back(desk: Desk) -> None:
    """It tells what would come of a retry, and leaves no more than an audit row."""
    failure_id = await desk.fail(agent="transactional")
    before = await desk.failure(failure_id)
    assert await desk.replay.dry_run(failure_id, by=OPERATOR) == Replayed(outcome="acknowledged")
    desk.answer = None
    assert await desk.replay.dry_run(failure_id, by=OPERATOR) == Replayed(outcome="skipped")
    desk.error = ValueError("no")
    assert await desk.replay.dry_run(failure_id, by=OPERATOR, payload=b"[]") == Replayed(
        outcome="failed", error_class="ValueError", error_message="no"
    )
    assert [payload for payload, _ in desk.seen] == [{}, {}, []]
    assert await desk.failure(failure_id) == before
    assert await desk.events() == []
    assert await desk.effects() == 0
    assert [row.action for row in await desk.audit()] == ["dry_run"] * 3


async def test_a_plain_handler_is_not_run_dry(desk: Desk) -> None:
    """Nobody could take back what it does."""
    failure_id = await desk.fail()
    with pytest.raises(ReplayError, match="plain is not transactional"):
        await desk.replay.dry_run(failure_id, by=OPERATOR)
    assert desk.seen == []


@AGENTS
async def test_a_recorded_event_is_handled_again_by_force(desk: Desk, agent: str) -> None:
    """Its row stays as it is; what the handler does, it does again."""
    writer = desk.writer(agent)
    await writer.ack(writer.event(EXACT))
    [event] = before = await desk.events()
    desk.answer = ACK
    assert await desk.replay.rerun(event.id, by=OPERATOR) == Replayed(outcome="acknowledged")
    assert [payload for payload, _ in desk.seen] == [orjson.loads(EXACT)]
    assert await desk.effects() == (agent == "transactional")
    desk.error = ValueError("no")
    with pytest.raises(HandlerError, match=r"^no$"):
        await desk.replay.rerun(event.id, by=OPERATOR)
    assert await desk.effects() == (agent == "transactional")
    assert await desk.events() == before
    assert await desk.rows(FailureRow) == []
    audit = [(row.action, row.subject, row.subject_id) for row in await desk.audit()]
    assert audit == [("rerun", "event", event.id)] * 2


async def test_a_discarded_failure_is_kept(desk: Desk) -> None:
    """With the reason for it; the same event may fail anew."""
    failure_id = await desk.fail()
    await desk.replay.discard(failure_id, by=OPERATOR, reason="a test order")
    row = await desk.failure(failure_id)
    assert (row.status, row.open_key, row.error_message) == ("discarded", None, "none")
    [audit] = await desk.audit()
    assert orjson.loads(audit.after)["reason"] == "a test order"
    assert await desk.fail() != failure_id


async def test_an_act_is_audited_with_what_it_changed(desk: Desk) -> None:
    """Who, what, to which failure, before and after."""
    failure_id = await desk.fail()
    desk.error = ValueError("no")
    with pytest.raises(HandlerError):
        await desk.replay.retry(failure_id, by=OPERATOR)
    desk.error = None
    await desk.replay.retry(failure_id, by=OPERATOR)
    failed, succeeded = await desk.audit()
    for row in (failed, succeeded):
        assert (row.actor, row.request_id) == ("anna", "request-1")
        assert (row.action, row.subject, row.subject_id) == ("retry", "failure", failure_id)
        assert (row.topic, row.operation_id) == ("orders", None)
    assert orjson.loads(failed.before) == {
        "status": "open",
        "attempts": 1,
        "error_class": "LookupError",
        "error_message": "none",
    }
    assert orjson.loads(failed.after) == {
        "status": "open",
        "outcome": "failed",
        "attempts": 2,
        "error_class": "ValueError",
        "error_message": "no",
    }
    assert orjson.loads(succeeded.after) == {"status": "resolved", "outcome": "acknowledged"}


async def test_what_is_out_of_scope_is_not_found(desk: Desk) -> None:
    """Whoever may see other topics only learns nothing of it."""
    failure_id = await desk.fail()
    writer = desk.writer()
    await writer.ack(writer.event(b"1"))
    [event] = await desk.events()
    stranger = Actor(name="bob", request_id="2", topics=frozenset({"refunds"}))
    for act in (desk.replay.retry, desk.replay.dry_run, desk.replay.discard):
        with pytest.raises(NotFoundError, match=r"^failure not found$"):
            await act(failure_id, by=stranger)
        with pytest.raises(NotFoundError, match=r"^failure not found$"):
            await act(failure_id + 1, by=OPERATOR)
    for event_id, by in ((event.id, stranger), (event.id + 1, OPERATOR)):
        with pytest.raises(NotFoundError, match=r"^event not found$"):
            await desk.replay.rerun(event_id, by=by)
    assert desk.seen == []
    assert await desk.audit() == []


@pytest.mark.parametrize("error", [None, ValueError("no")])
async def test_an_operation_knows_what_became_of_its_items(
    desk: Desk, error: Exception | None
) -> None:
    """The item is past in the very transaction that settles its failure."""
    failure_id = await desk.fail()
    async with desk.database.engine.begin() as connection:
        values = {"operation_id": 7, "failure_id": failure_id}
        items = [{**values, "position": position} for position in range(2)]
        await connection.execute(OperationItemRow.__table__.insert(), items)  # type: ignore[attr-defined]
    desk.error = error
    by = Actor(name="anna", request_id="1", operation_id=7, position=1)
    await asyncio.gather(desk.replay.retry(failure_id, by=by), return_exceptions=True)
    async with desk.database.engine.connect() as connection:
        table: Any = OperationItemRow.__table__
        outcomes = [row.outcome for row in await connection.execute(table.select())]
    assert outcomes == [None, "failed" if error else "acknowledged"]
    [audit] = await desk.audit()
    assert audit.operation_id == 7


async def test_listeners_are_told(desk: Desk) -> None:
    """The same as by the stream, and that it was a retry."""
    told: list[tuple[str, str | None]] = []

    def listen(notification: Notification, *, signal: Any, **_: Any) -> None:
        told.append((signal.name, None if notification.error is None else "error"))

    for signal in vars(desk.checkpoint.notifications).values():
        signal.connect(listen)
    failure_id = await desk.fail()
    desk.error = ValueError("no")
    with pytest.raises(HandlerError):
        await desk.replay.retry(failure_id, by=OPERATOR)
    check = ("event_already_exists_check", None)
    assert told == [check, ("event_action", "error"), ("failure_retried", "error")]
    told.clear()
    desk.error = None
    await desk.replay.retry(failure_id, by=OPERATOR)
    assert told == [
        check,
        ("event_action", None),
        ("event_acknowledged", None),
        ("around_consume", None),
        ("failure_retried", None),
    ]


async def test_a_cancelled_retry_gives_its_claim_back(desk: Desk) -> None:
    """When the worker stops, the failure can be retried elsewhere at once."""
    failure_id = await desk.fail()
    desk.hold = asyncio.Event()
    retry = asyncio.create_task(desk.replay.retry(failure_id, by=OPERATOR))
    await desk.until_running()
    retry.cancel()
    with pytest.raises(asyncio.CancelledError):
        await retry
    row = await desk.failure(failure_id)
    assert (row.status, row.claimed_by) == ("open", None)


async def _claim(desk: Desk, failure_id: int, *, seconds_ago: float) -> None:
    """Have another process claim a failure, so many seconds ago by the database's clock."""
    async with desk.database.engine.begin() as connection:
        now: datetime | None = await connection.scalar(utcnow().select())
        assert now is not None
        assert abs(now - datetime.now(UTC)) < timedelta(minutes=1)
        claimed_at = now - timedelta(seconds=seconds_ago)
        values = {"claimed_by": "another", "claimed_at": claimed_at}
        await connection.execute(
            update(FailureRow).where(FailureRow.id == failure_id).values(values)
        )
