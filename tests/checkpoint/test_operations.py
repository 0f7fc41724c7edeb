"""Bulk operations act on what was selected, as fast as asked for, and end when they should."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias, TypeVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from app.checkpoint import ConfigurationError
from app.checkpoint.claims import MAX_STARTS
from app.checkpoint.database import Database
from app.checkpoint.errors import ConflictError, NotFoundError
from app.checkpoint.models import AuditRow, EventRow, FailureRow, OperationItemRow
from app.checkpoint.queries import operations as queries
from app.checkpoint.records import Actor, Filter, Plan
from app.checkpoint.runner import SIDE_BY_SIDE
from app.checkpoint.store import operations as store
from app.checkpoint.store.operations import ClaimedOperation
from app.checkpoint.testing import database
from tests.checkpoint.bulk import ADA, Bulk
from tests.checkpoint.service import Hold
from tests.polling import eventually_async

T = TypeVar("T")
StartBulk: TypeAlias = Callable[..., Bulk]
RETRY = Plan(action="retry", canary=())
DISCARD = Plan(action="discard", canary=())
ORDERS = Actor(name="bob", request_id="request-2", topics=frozenset({"orders"}))


@pytest.fixture
async def start_bulk(tables: Database) -> AsyncIterator[StartBulk]:
    """Return what starts processes of the service, on each kind of database in turn."""
    async with AsyncExitStack() as stack:

        def start(**options: Any) -> Bulk:
            bulk = Bulk(tables, **options)
            stack.push_async_callback(bulk.close)
            return bulk

        yield start


@pytest.fixture
def bulk(start_bulk: StartBulk) -> Bulk:
    """Return one process of the service."""
    return start_bulk()


async def test_all_that_failed_is_retried_oldest_first(bulk: Bulk) -> None:
    """And each is put down as a retry by whoever started the operation."""
    await bulk.fail(3, 1, 2)
    operation = await bulk.work_off(RETRY)
    assert (operation.status, operation.total) == ("finished", 3)
    assert operation.outcomes == {"acknowledged": 3}
    assert operation.finished_at is not None
    assert bulk.handled == [3, 1, 2]
    assert await bulk.statuses() == ["resolved"] * 3
    assert len(await bulk.rows(EventRow)) == 3
    bulk_row, *rows = await bulk.rows(AuditRow)
    assert (bulk_row.action, bulk_row.subject) == ("bulk_retry", "operation")
    assert bulk_row.subject_id == operation.id
    assert orjson.loads(bulk_row.after)["total"] == 3
    told = {(row.action, row.actor, row.request_id, row.operation_id) for row in rows}
    assert told == {("retry", "ada", "request-1", operation.id)}


async def test_failures_are_discarded_without_being_handled(bulk: Bulk) -> None:
    """They stay in the database."""
    await bulk.fail(1, 2)
    operation = await bulk.work_off(DISCARD)
    assert operation.outcomes == {"discarded": 2}
    assert bulk.handled == []
    assert await bulk.statuses() == ["discarded"] * 2


async def test_what_fails_again_stays_open(bulk: Bulk) -> None:
    """And holds up no other, within the ratio that is allowed."""
    bulk.broken = {2}
    await bulk.fail(1, 2, 3)
    operation = await bulk.work_off(RETRY)
    assert operation.outcomes == {"acknowledged": 2, "failed": 1}
    assert await bulk.statuses() == ["resolved", "open", "resolved"]


async def test_what_fails_later_is_not_touched(bulk: Bulk) -> None:
    """The selection is frozen when the operation begins."""
    await bulk.fail(1, 2)
    operation = await bulk.operations.start(RETRY, ADA)
    await bulk.fail(3)
    async with bulk.working():
        assert (await bulk.wait_until_ended(operation.id)).total == 2
    assert bulk.handled == [1, 2]


async def test_only_so_many_are_selected(bulk: Bulk) -> None:
    """The oldest."""
    await bulk.fail(5, 4, 3, 2)
    await bulk.work_off(replace(RETRY, limit=2))
    assert bulk.handled == [5, 4]


async def test_of_chosen_ids_only_open_failures_are_selected(bulk: Bulk) -> None:
    """Those that do not exist or are settled are left out; the total tells."""
    ids = await bulk.fail(1, 2, 3)
    await bulk.replay.discard(ids[0], by=ADA)
    operation = await bulk.work_off(replace(RETRY, ids=(ids[2], ids[0], 10**15)))
    assert operation.total == 1
    assert bulk.handled == [3]
    assert operation.plan.ids == (ids[2], ids[0], 10**15)


async def test_a_filter_selects_what_equals_it(bulk: Bulk) -> None:
    """Here one group: what one fix mends."""
    await bulk.fail(1, 2)
    await bulk.fail(3, agent="others")
    [*_, other] = await bulk.rows(FailureRow)
    operation = await bulk.work_off(replace(DISCARD, filter=Filter(fingerprint=other.fingerprint)))
    assert operation.total == 1
    assert await bulk.statuses() == ["open", "open", "discarded"]


async def test_only_open_failures_are_selected(bulk: Bulk) -> None:
    """Also by a filter that says otherwise."""
    ids = await bulk.fail(1, 2)
    await bulk.replay.discard(ids[0], by=ADA)
    for status in ("all", "discarded", "resolved"):
        plan = replace(RETRY, filter=Filter(status=status))
        assert (await bulk.operations.start(plan, ADA)).total == (status == "all")


async def test_a_preview_tells_what_would_be_selected(bulk: Bulk) -> None:
    """How many, up to the limit, and the oldest five; nothing is done."""
    ids = await bulk.fail(*range(8))
    count, sample = await bulk.operations.preview(RETRY, ADA)
    assert (count.count, count.capped) == (8, False)
    assert [failure.id for failure in sample] == ids[:5]
    count, sample = await bulk.operations.preview(replace(RETRY, limit=3), ADA)
    assert (count.count, count.capped) == (3, True)
    assert [failure.id for failure in sample] == ids[:3]
    assert (await bulk.acts(), await bulk.outcomes()) == ([], [])


async def test_an_operation_on_nothing_ends(bulk: Bulk) -> None:
    """With nothing done."""
    operation = await bulk.work_off(RETRY)
    assert (operation.status, operation.total, operation.outcomes) == ("finished", 0, {})


async def test_a_canary_stops_an_operation_right_after_its_step(bulk: Bulk) -> None:
    """What comes behind the step stays as it is."""
    bulk.broken = {2, 3}
    await bulk.fail(*range(10))
    operation = await bulk.work_off(replace(RETRY, canary=(1, 5), failure_ratio=0.2))
    assert operation.status == "stopped"
    assert operation.reason == "2 of 5 failed again, and the plan allows a share of 0.2"
    assert operation.outcomes == {"acknowledged": 4, "failed": 2}
    assert bulk.handled == list(range(6))
    assert (await bulk.statuses())[6:] == ["open"] * 4


async def test_a_canary_lets_an_operation_go_on_within_the_ratio(bulk: Bulk) -> None:
    """A share that equals the ratio is allowed."""
    bulk.broken = {2}
    await bulk.fail(*range(10))
    operation = await bulk.work_off(replace(RETRY, canary=(1, 5), failure_ratio=0.2))
    assert (operation.status, operation.reason) == ("finished", None)
    assert operation.outcomes == {"acknowledged": 9, "failed": 1}


async def test_an_operation_is_no_faster_than_asked_for(bulk: Bulk) -> None:
    """So many a second at most, from the first on."""
    await bulk.fail(*range(5))
    began = time.monotonic()
    await bulk.work_off(replace(RETRY, rate=20))
    assert 4 / 20 <= bulk.handled_at[-1] - began < 10


async def test_a_cancelled_operation_ends_before_its_next_item(start_bulk: StartBulk) -> None:
    """The one in hand is finished, and who cancelled it is put down."""
    hold = Hold(2)
    bulk = start_bulk(hold=hold)
    await bulk.fail(1, 2, 3)
    operation = await bulk.operations.start(RETRY, ADA)
    async with bulk.working():
        await hold.reached.wait()
        cancelled = await bulk.operations.cancel(operation.id, ADA)
        hold.release.set()
        await eventually_async(lambda: has_outcomes(bulk, "acknowledged", "acknowledged", None))
    assert (cancelled.status, cancelled.total) == ("cancelled", 3)
    assert bulk.handled == [1, 2]
    assert await bulk.statuses() == ["resolved", "resolved", "open"]
    assert "cancel" in await bulk.acts()


async def test_operations_that_wait_can_be_cancelled(bulk: Bulk) -> None:
    """They make room for others, and need not come to their next items for that."""
    ids = await bulk.fail(*range(2 * SIDE_BY_SIDE + 1))
    slow = [
        await bulk.operations.start(replace(RETRY, ids=(one, other), rate=0.001), ADA)
        for one, other in zip(ids[:-1:2], ids[1::2], strict=True)
    ]
    last = await bulk.operations.start(replace(RETRY, ids=(ids[-1],)), ADA)
    async with bulk.working():
        await eventually_async(
            lambda: has_outcomes(bulk, *(SIDE_BY_SIDE * ["acknowledged", None]), None)
        )
        for operation in slow:
            await bulk.operations.cancel(operation.id, ADA)
        assert (await bulk.wait_until_ended(last.id)).status == "finished"
    assert sorted(bulk.handled) == list(range(0, 2 * SIDE_BY_SIDE + 1, 2))


async def test_an_operation_that_has_ended_cannot_be_cancelled(bulk: Bulk) -> None:
    """Whoever tries is told how it ended."""
    operation = await bulk.operations.start(RETRY, ADA)
    await bulk.operations.cancel(operation.id, ADA)
    with pytest.raises(ConflictError, match="the operation is cancelled") as caught:
        await bulk.operations.cancel(operation.id, ADA)
    assert caught.value.status == "cancelled"
    assert await bulk.acts() == ["bulk_retry", "cancel"]


async def test_a_worker_that_stops_leaves_the_rest_to_others_at_once(start_bulk: StartBulk) -> None:
    """No claim has to run out first."""
    hold = Hold(2)
    first, second = start_bulk(hold=hold), start_bulk()
    await first.fail(1, 2, 3)
    operation = await first.operations.start(RETRY, ADA)
    async with first.working():
        await hold.reached.wait()
        hold.release.set()
    async with second.working():
        ended = await second.wait_until_ended(operation.id)
    assert ended.outcomes == {"acknowledged": 3}
    assert sorted(first.handled + second.handled) == [1, 2, 3]


async def test_another_worker_takes_up_what_a_dead_one_has_left(start_bulk: StartBulk) -> None:
    """Even if that one was only asleep: what it had in hand counts once."""
    hold = Hold(2)
    sleeper, other = start_bulk(hold=hold), start_bulk()
    await sleeper.fail(1, 2, 3)
    operation = await sleeper.operations.start(RETRY, ADA)
    async with sleeper.working():
        await hold.reached.wait()
        await sleeper.silence()
        async with other.working():
            ended = await other.wait_until_ended(operation.id)
        hold.release.set()
    assert ended.outcomes == {"acknowledged": 3}
    assert (sleeper.handled, other.handled) == ([1, 2], [2, 3])
    assert await other.statuses() == ["resolved"] * 3
    assert len(await other.rows(EventRow)) == 3
    assert (await other.acts()).count("retry") == 3


async def test_two_workers_do_each_item_once(start_bulk: StartBulk) -> None:
    """Whoever comes first at an operation keeps it; the other takes the next one."""
    workers = [start_bulk(), start_bulk()]
    ids = await workers[0].fail(*range(20))
    started = [
        await workers[0].operations.start(replace(RETRY, ids=tuple(half)), ADA)
        for half in (ids[:10], ids[10:])
    ]
    async with workers[0].working(), workers[1].working():
        for operation in started:
            ended = await workers[0].wait_until_ended(operation.id)
            assert ended.outcomes == {"acknowledged": 10}
    assert sorted(workers[0].handled + workers[1].handled) == list(range(20))


async def test_of_many_who_claim_an_operation_one_gets_it(start_bulk: StartBulk) -> None:
    """And gives it back, or keeps it as long as it says so."""
    workers = [start_bulk() for _ in range(8)]
    # Connected, so that they meet.
    assert {await claim(worker) for worker in workers} == {None}
    await workers[0].operations.start(RETRY, ADA)
    claims = await asyncio.gather(*(claim(worker) for worker in workers))
    [held] = [each for each in claims if each is not None]
    await workers[0].silence()
    await write(workers[0], store.renew, held)
    assert await claim(workers[1]) is None
    await write(workers[0], store.release, held)
    assert await claim(workers[1]) is not None


async def test_who_has_lost_an_operation_does_not_end_it(start_bulk: StartBulk) -> None:
    """Nor takes up another item, nor gives away what is no longer theirs."""
    sleeper, other = start_bulk(), start_bulk()
    await sleeper.fail(1)
    operation = await sleeper.operations.start(RETRY, ADA)
    lost = await claim(sleeper)
    await sleeper.silence()
    held = await claim(other)
    assert lost is not None
    assert held is not None
    assert await write(sleeper, queries.next_item, lost.id, lost.claim) is None
    await write(sleeper, store.end, lost, "finished")
    await write(sleeper, store.release, lost)
    assert await claim(sleeper) is None
    assert await write(other, queries.next_item, held.id, held.claim) is not None
    assert (await other.operations.get(operation.id, ADA)).status == "running"


async def test_an_outcome_that_is_put_down_stays(bulk: Bulk) -> None:
    """Whoever comes too late passes over nothing."""
    await bulk.fail(1)
    await bulk.operations.start(RETRY, ADA)
    held = await claim(bulk)
    assert held is not None
    [failure] = await bulk.rows(FailureRow)
    await bulk.replay.retry(failure.id, by=held.actor(0))
    await write(bulk, store.pass_over, held, 0)
    assert await bulk.outcomes() == ["acknowledged"]


async def test_what_is_settled_meanwhile_is_passed_over(bulk: Bulk) -> None:
    """And so is what no handler of this service can take."""
    ids = await bulk.fail(1, 2)
    await bulk.fail(3, agent="removed")
    operation = await bulk.operations.start(replace(RETRY, canary=(1,), failure_ratio=0), ADA)
    await bulk.replay.discard(ids[0], by=ADA)
    async with bulk.working():
        ended = await bulk.wait_until_ended(operation.id)
    assert ended.status == "finished"
    assert await bulk.outcomes() == ["passed over", "acknowledged", "passed over"]
    assert bulk.handled == [2]


async def test_what_somebody_else_retries_is_waited_for(start_bulk: StartBulk) -> None:
    """It may fail again, and is then this operation's."""
    hold = Hold(1)
    somebody, bulk = start_bulk(hold=hold), start_bulk()
    [failure_id] = await somebody.fail(1)
    operation = await bulk.operations.start(RETRY, ADA)
    retry = asyncio.create_task(somebody.replay.retry(failure_id, by=ADA))
    await hold.reached.wait()
    async with bulk.working():
        retry.cancel()
        await asyncio.wait([retry])
        ended = await bulk.wait_until_ended(operation.id)
    assert ended.outcomes == {"acknowledged": 1}
    assert bulk.handled == [1]


async def test_an_operation_outlasts_an_outage(bulk: Bulk) -> None:
    """Nothing is lost with the tables away, and nothing is done twice."""
    await bulk.fail(1, 2)
    operation = await bulk.operations.start(RETRY, ADA)
    await rename(bulk, ITEMS, "hidden")
    async with bulk.working():
        await eventually_async(lambda: is_out(bulk))
        await rename(bulk, "hidden", ITEMS)
        ended = await bulk.wait_until_ended(operation.id)
    assert ended.outcomes == {"acknowledged": 2}
    assert bulk.handled == [1, 2]


async def test_a_worker_stops_at_once_while_the_database_is_away(bulk: Bulk) -> None:
    """Nothing could be finished within its grace."""
    await bulk.fail(1)
    await bulk.operations.start(RETRY, ADA)
    await rename(bulk, ITEMS, "hidden")
    async with bulk.working():
        await eventually_async(lambda: is_out(bulk))
        stopped_at = time.monotonic()
    assert time.monotonic() - stopped_at < bulk.checkpoint.grace / 2
    assert bulk.handled == []


async def test_an_actor_acts_only_on_what_they_may_see(bulk: Bulk) -> None:
    """Chosen by id or by a filter, and whatever the filter says."""
    ids = [*await bulk.fail(1), *await bulk.fail(2, topic="secrets")]
    for plan in (DISCARD, replace(DISCARD, ids=tuple(ids))):
        count, sample = await bulk.operations.preview(plan, ORDERS)
        assert (count.count, [failure.topic for failure in sample]) == (1, ["orders"])
    hidden = replace(DISCARD, filter=Filter(topics=frozenset({"orders", "secrets"})))
    assert (await bulk.work_off(hidden, ORDERS)).total == 1
    assert await bulk.statuses() == ["discarded", "open"]


async def test_an_actor_sees_only_operations_of_those_who_see_no_more(bulk: Bulk) -> None:
    """To all others there is none of that id, also none to cancel."""
    nobody = replace(ORDERS, topics=frozenset())
    by_all = await bulk.operations.start(RETRY, ADA)
    by_orders = await bulk.operations.start(RETRY, ORDERS)
    assert await bulk.operations.get(by_orders.id, ORDERS) == by_orders
    for actor, hidden in ((ORDERS, by_all), (nobody, by_all), (nobody, by_orders)):
        with pytest.raises(NotFoundError, match="operation not found"):
            await bulk.operations.get(hidden.id, actor)
        with pytest.raises(NotFoundError, match="operation not found"):
            await bulk.operations.cancel(hidden.id, actor)
    shown = [await bulk.operations.latest(actor, limit=9) for actor in (ADA, ORDERS, nobody)]
    assert shown == [[by_orders, by_all], [by_orders], []]
    assert await bulk.operations.latest(ADA, limit=1) == [by_orders]


async def test_the_latest_operations_tell_how_far_they_are(bulk: Bulk) -> None:
    """Each by its own outcomes."""
    await bulk.fail(1, 2)
    retried = await bulk.work_off(RETRY)
    await bulk.fail(3)
    discarded = await bulk.work_off(DISCARD)
    assert await bulk.operations.latest(ADA, limit=9) == [discarded, retried]
    assert [retried.outcomes, discarded.outcomes] == [{"acknowledged": 2}, {"discarded": 1}]


async def test_a_plan_that_cannot_work_starts_nothing(bulk: Bulk) -> None:
    """Nor is it previewed."""
    for act in (bulk.operations.start, bulk.operations.preview):
        with pytest.raises(ConfigurationError, match="limit=0 cannot work"):
            await act(replace(RETRY, limit=0), ADA)
    assert await bulk.acts() == []


FATES = st.sampled_from(["succeeds", "fails", "settled", "removed"])


@given(
    fates=st.lists(FATES, max_size=12),
    canary=st.lists(st.integers(1, 4), max_size=3),
    failure_ratio=st.sampled_from([0.0, 0.3, 1.0]),
)
@settings(deadline=None, max_examples=30)
async def test_the_numbers_add_up(
    fates: list[str], canary: list[int], failure_ratio: float
) -> None:
    """Whatever becomes of each: outcomes, audit, events and failures tell the same story."""
    broken = [value for value, fate in enumerate(fates) if fate == "fails"]
    async with fresh(broken=broken) as bulk:
        ids = [
            (await bulk.fail(value, agent="gone" if fate == "removed" else "orders"))[0]
            for value, fate in enumerate(fates)
        ]
        plan = replace(RETRY, canary=tuple(canary), failure_ratio=failure_ratio)
        operation = await bulk.operations.start(plan, ADA)
        for failure_id, fate in zip(ids, fates, strict=True):
            if fate == "settled":
                await bulk.replay.discard(failure_id, by=ADA)
        async with bulk.working():
            ended = await bulk.wait_until_ended(operation.id)
        outcomes = await bulk.outcomes()
        done = [each for each in outcomes if each is not None]
        assert outcomes == done + [None] * (len(fates) - len(done))
        assert done == [OUTCOMES[fate] for fate in fates[: len(done)]]
        assert ended.outcomes == {each: done.count(each) for each in done}
        assert ended.status == ("finished" if len(done) == len(fates) else "stopped")
        assert len(await bulk.rows(EventRow)) == done.count("acknowledged")
        assert (await bulk.statuses()).count("resolved") == done.count("acknowledged")
        acted = [value for value in range(len(done)) if fates[value] in {"succeeds", "fails"}]
        assert bulk.handled == acted
        assert (await bulk.acts()).count("retry") == len(acted)


OUTCOMES = {
    "succeeds": "acknowledged",
    "fails": "failed",
    "settled": "passed over",
    "removed": "passed over",
}
ITEMS = OperationItemRow.__tablename__


@asynccontextmanager
async def fresh(**options: Any) -> AsyncIterator[Bulk]:
    """Open one process of the service, with a database of its own."""
    with TemporaryDirectory() as folder:
        async with database(f"sqlite:///{folder}/service.db") as tables:
            bulk = Bulk(tables, **options)
            yield bulk
            await bulk.close()


async def claim(bulk: Bulk) -> ClaimedOperation | None:
    """Claim an operation as a worker does."""
    return await write(bulk, store.claim)


async def write(bulk: Bulk, work: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Do one thing in a transaction of its own."""
    async with bulk.operations.database.engine.begin() as connection:
        return await work(connection, *args)


async def rename(bulk: Bulk, table: str, name: str) -> None:
    """Take a table away, or bring it back."""
    async with bulk.tables.engine.begin() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {name}")


async def has_outcomes(bulk: Bulk, *expected: Any) -> None:
    """Check what has become of the items so far."""
    assert await bulk.outcomes() == list(expected)


async def is_out(bulk: Bulk) -> None:
    """Check that the worker knows of the outage."""
    assert bulk.checkpoint.outages.since is not None


async def test_what_ends_the_process_again_and_again_is_passed_over(bulk: Bulk) -> None:
    """Each death leaves its start behind; the operation goes on with the rest."""
    await bulk.fail(1, 2, 3)
    operation = await bulk.operations.start(RETRY, ADA)
    begun = update(OperationItemRow).where(OperationItemRow.operation_id == operation.id)
    async with bulk.tables.engine.begin() as connection:
        for position, starts in enumerate([MAX_STARTS - 1, MAX_STARTS]):
            at = begun.where(OperationItemRow.position == position)
            await connection.execute(at.values(starts=starts))
    async with bulk.working():
        ended = await bulk.wait_until_ended(operation.id)
    assert ended.outcomes == {"acknowledged": 2, "passed over": 1}
    assert bulk.handled == [1, 3]
    assert await bulk.statuses() == ["resolved", "open", "resolved"]
    assert [item.starts for item in await bulk.rows(OperationItemRow)] == [
        MAX_STARTS,
        MAX_STARTS,
        1,
    ]


async def test_a_retry_that_was_broken_off_in_order_is_no_death(start_bulk: StartBulk) -> None:
    """However often workers are replaced while an event takes its time."""
    last = start_bulk()
    await last.fail(1)
    operation = await last.operations.start(RETRY, ADA)
    for _ in range(MAX_STARTS):
        hold = Hold(1)
        bulk = start_bulk(hold=hold)
        bulk.checkpoint.grace = 0
        async with bulk.working():
            await hold.reached.wait()
    async with last.working():
        ended = await last.wait_until_ended(operation.id)
    assert ended.outcomes == {"acknowledged": 1}
