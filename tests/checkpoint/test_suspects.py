"""An event that ends its process becomes a failure, and no other event suffers for it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Metadata, ProcessDiedError, ack
from app.checkpoint.attempts import Handler
from app.checkpoint.claims import MAX_STARTS
from app.checkpoint.database import Database
from app.checkpoint.events import Record, make_record
from app.checkpoint.failures import error_class
from app.checkpoint.lanes import BATCH_SIZE, Lane
from app.checkpoint.models import LANES, EventRow, FailureRow
from app.checkpoint.notifications import Notifications
from app.checkpoint.options import Options
from app.checkpoint.outages import Outages
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.reports import Reports
from app.checkpoint.suspects import Suspects
from app.checkpoint.testing import database
from tests.polling import eventually_async

TOPIC = "orders"
IMMEDIATE = Backoff(min=0.001, max=0.001, jitter=0.0)
OPTIONS = Options(max_retries=1, backoff=IMMEDIATE, identity="offset")
MOST_DEATHS = 2 + MAX_STARTS
"""With nothing put down, with its batch, and by itself."""
CRASH_LOOP = 50
PROCESS_DIED = error_class(ProcessDiedError(MAX_STARTS))
ALONE = "SELECT starts FROM checkpoint_lanes WHERE first_offset = last_offset"


class Death(BaseException):
    """The process ends: nothing of it runs any more, and its transaction is never committed."""


class Service:
    """One agent, some of whose events end the process; each `Life` of it is another process."""

    def __init__(
        self, database: Database, *killers: int, topic: str = TOPIC, **options: Any
    ) -> None:
        self.database = database
        self.killers = set(killers)
        """Offsets."""
        self.topic = topic
        self.runs: list[int] = []
        """The offset of each time that the handler ran."""
        self.failing: set[int] = set()
        """Offsets whose next attempt raises an error."""
        self.skipping = False
        self.side_by_side = 0
        """The most events that were in hand at once."""
        self.seconds = 0.0
        """How long the handler takes."""
        self._in_hand = 0
        self.outages = Outages(IMMEDIATE)
        chosen = replace(OPTIONS, **options)
        function = self._transactional if chosen.transactional else self._plain
        handler = Handler(function, chosen, agent="orders", group_id="service")
        reports = Reports(handler, Notifications())
        self.pipeline = Pipeline(handler, database=database, outages=self.outages, reports=reports)

    async def deaths(self, count: int, *, batch: int = BATCH_SIZE) -> int:
        """Start process after process until one ends in order; return how many did not."""
        deaths = 0
        while not await self.survives(count, batch=batch):
            deaths += 1
            assert deaths < CRASH_LOOP
        return deaths

    async def survives(self, count: int, *, batch: int = BATCH_SIZE) -> bool:
        """Start a process that begins at the first event; return whether it ends in order."""
        life = Life(self)
        try:
            await life.settle(*range(count), batch=batch)
        except Death:
            return False
        await life.end()
        return True

    async def events(self) -> list[int]:
        """Return the offsets of the event rows."""
        return await self.column(select(EventRow.offset).order_by(EventRow.offset))

    async def failures(self) -> list[tuple[Any, ...]]:
        """Return offset, error and attempts of the failure rows."""
        columns = FailureRow.offset, FailureRow.error_class, FailureRow.attempts
        async with self.database.engine.connect() as connection:
            rows = await connection.execute(select(*columns).order_by(FailureRow.offset))
            return [tuple(row) for row in rows]

    async def column(self, statement: Any) -> list[Any]:
        """Return what a query finds."""
        async with self.database.engine.connect() as connection:
            return list(await connection.scalars(statement))

    async def execute(self, statement: str) -> None:
        """Have the database do something."""
        async with self.database.engine.begin() as connection:
            await connection.execute(text(statement))

    async def _plain(self, _: Any, metadata: Metadata) -> Ack | None:
        self.runs.append(metadata.offset)
        if metadata.offset in self.killers:
            raise Death
        if metadata.offset in self.failing:
            self.failing.remove(metadata.offset)
            raise LookupError(metadata.offset)
        self._in_hand += 1
        self.side_by_side = max(self.side_by_side, self._in_hand)
        await asyncio.sleep(self.seconds)
        self._in_hand -= 1
        return None if self.skipping else ack(metadata.offset, 0)

    async def _transactional(self, _: Any, metadata: Metadata, __: AsyncSession) -> Ack | None:
        return await self._plain(_, metadata)


class Life:
    """One process of a service, from its start on."""

    def __init__(self, service: Service, **options: float) -> None:
        self._service = service
        self._suspects = Suspects(service.database, service.outages, **options)
        self._guarded = self._suspects.guard(service.pipeline)
        self._lanes: dict[int, Lane] = {}

    def lane(self, partition: int = 0) -> Lane:
        """Return the lane of a partition."""
        if partition not in self._lanes:
            self._lanes[partition] = Lane(TP(self._service.topic, partition), self._guarded)
        return self._lanes[partition]

    async def settle(self, *offsets: int, partition: int = 0, batch: int = BATCH_SIZE) -> None:
        """Settle the events at these offsets, so many at once."""
        lane = self.lane(partition)
        for first in range(0, len(offsets), batch):
            lane.deliver(self._records(offsets[first : first + batch], partition))
            while len(lane):
                await lane.step()

    async def end(self) -> None:
        """End in order."""
        await self._suspects.give_up(list(self._lanes.values()))

    def _records(self, offsets: Sequence[int], partition: int) -> list[Record]:
        return [
            make_record(
                orjson.dumps(offset), topic=self._service.topic, partition=partition, offset=offset
            )
            for offset in offsets
        ]


@pytest.fixture(params=[False, True], ids=["plain", "transactional"])
def transactional(request: pytest.FixtureRequest) -> bool:
    """Return whether the handler writes through a session, each way in turn."""
    return bool(request.param)


@asynccontextmanager
async def statements(database: Database) -> AsyncIterator[list[str]]:
    """Collect the statements that a database is given in the block."""
    given_: list[str] = []

    def told(_: Any, __: Any, statement: str, *___: Any) -> None:
        given_.append(statement)

    event.listen(database.engine.sync_engine, "before_cursor_execute", told)
    yield given_
    event.remove(database.engine.sync_engine, "before_cursor_execute", told)


async def test_an_event_that_ends_its_process_becomes_a_failure(
    tables: Database, *, transactional: bool
) -> None:
    """On every database, and everything else is recorded."""
    service = Service(tables, 4, transactional=transactional)
    assert await service.deaths(10) <= MOST_DEATHS
    assert await service.events() == [0, 1, 2, 3, *range(5, 10)]
    assert await service.failures() == [(4, PROCESS_DIED, MAX_STARTS)]


async def test_its_redelivery_is_passed_over(tables: Database) -> None:
    """As with any failure: only a retry runs it again."""
    service = Service(tables, 4)
    await service.deaths(10)
    runs = service.runs.count(4)
    assert await service.deaths(10) == 0
    assert service.runs.count(4) == runs
    assert len(await service.failures()) == 1


async def test_a_decoder_that_ends_the_process_is_found_like_a_handler(tables: Database) -> None:
    """It runs behind the mark, and not at all for an event that is set aside."""

    def decode(value: bytes) -> Any:
        if value == b"4":
            raise Death
        return orjson.loads(value)

    service = Service(tables, decode=decode, identity=lambda payload, _: str(payload))
    assert await service.deaths(10) <= MOST_DEATHS
    assert [failure[0] for failure in await service.failures()] == [4]
    assert await service.events() == [0, 1, 2, 3, *range(5, 10)]


async def test_an_event_that_may_be_retried_for_ever_is_run_again_all_the_same(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """And somebody is called: `max_retries=None` asks for it."""
    service = Service(tables, 0, max_retries=None)
    for _ in range(2 * MAX_STARTS):
        with pytest.raises(Death):
            await Life(service).settle(0)
    assert service.runs == [0] * 2 * MAX_STARTS
    assert await service.failures() == []
    assert "checkpoint.process_killer" in caplog.text
    assert {entry.levelno for entry in caplog.records} >= {logging.CRITICAL}
    service.killers.clear()
    assert await service.deaths(1) == 0
    assert await service.events() == [0]


async def test_a_process_that_ended_in_order_leaves_nothing_to_suspect(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """And the lane is written down as long as it lives."""
    service = Service(tables)
    life = Life(service)
    await life.settle(0, 1)
    assert await service.column(select(LANES.c.partition)) == [0]
    await life.end()
    assert await service.column(select(LANES.c.partition)) == []
    await Life(service).settle(2, 3)
    assert "checkpoint.lane_owner_died" not in caplog.text


async def test_one_death_makes_no_failure(
    tables: Database, caplog: pytest.LogCaptureFixture, *, transactional: bool
) -> None:
    """Somebody killed the process: everything is recorded, and said once."""
    service = Service(tables, 4, transactional=transactional)
    with pytest.raises(Death):
        await Life(service).settle(*range(10))
    service.killers.clear()
    assert await service.deaths(10) == 0
    assert await service.events() == list(range(10))
    assert await service.failures() == []
    assert caplog.text.count("checkpoint.lane_owner_died") == 1


async def test_no_statement_is_added_for_a_batch(tables: Database, *, transactional: bool) -> None:
    """Neither where nobody has died, nor where it is long ago."""
    service = Service(tables, transactional=transactional)
    bare = Lane(TP(TOPIC, 1), service.pipeline.settle)
    bare.deliver([make_record(b"1", topic=TOPIC, partition=1)])
    async with statements(tables) as alone:
        await bare.step()
    clean, careful = Life(service), Life(service)
    await clean.settle(0)
    await careful.settle(*range(1, 2 + BATCH_SIZE))
    for number, life in enumerate((clean, careful)):
        async with statements(tables) as guarded:
            await life.settle(1000 + number)
        assert guarded == alone


async def test_who_comes_back_after_being_replaced_changes_nothing(tables: Database) -> None:
    """A worker that was taken for dead neither clears an event nor gives up what is another's."""
    service = Service(tables, 0)
    lives = [Life(service) for _ in range(3)]
    for life in lives:
        with pytest.raises(Death):
            await life.settle(0)
    service.killers.clear()
    row = select(LANES.c.owner, LANES.c.first_offset, LANES.c.starts)
    async with tables.engine.connect() as connection:
        [held] = await connection.execute(row)
    for zombie in lives[:2]:
        await zombie.settle(1)
        await zombie.end()
    async with tables.engine.connect() as connection:
        assert (await connection.execute(row)).all() == [held]
    assert held.first_offset == 0


async def test_what_is_settled_is_passed_over_however_often_its_process_ended(
    tables: Database,
) -> None:
    """It ended each time between the commit and the acknowledgement."""
    service = Service(tables)
    await Life(service).settle(0)
    accused = {"first_offset": 0, "last_offset": 0, "starts": MAX_STARTS}
    async with tables.engine.begin() as connection:
        await connection.execute(update(LANES).values(accused))
    assert await service.deaths(2) == 0
    assert await service.events() == [0, 1]
    assert await service.failures() == []


async def test_nothing_runs_before_it_is_written_down(tables: Database) -> None:
    """While the database cannot take it, the event waits as it does for its outcome."""
    service = Service(tables, 0)
    with pytest.raises(Death):
        await Life(service).settle(0)
    service.killers.clear()
    service.runs.clear()
    life = Life(service)
    await service.execute("ALTER TABLE checkpoint_lanes RENAME TO away")
    settling = asyncio.create_task(life.settle(0))

    async def waits() -> None:
        assert service.outages.since is not None

    await eventually_async(waits)
    assert service.runs == []
    await service.execute("ALTER TABLE away RENAME TO checkpoint_lanes")
    await settling
    assert service.runs == [0]
    assert await service.events() == [0]


async def test_a_database_that_is_away_does_not_hold_up_the_end(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The next process is careful for nothing, and that is all."""
    service = Service(tables)
    life = Life(service)
    await life.settle(0)
    await service.execute("ALTER TABLE checkpoint_lanes RENAME TO away")
    await life.end()
    assert "checkpoint.lanes_not_given_up" in caplog.text
    await service.execute("ALTER TABLE away RENAME TO checkpoint_lanes")
    assert await service.deaths(2) == 0
    assert await service.events() == [0, 1]


async def test_an_attempt_that_fails_is_not_held_against_its_event(tables: Database) -> None:
    """It is not in hand while it waits for the next one, and its starts are not forgotten."""
    service = Service(tables, 0)
    for _ in range(2):
        with pytest.raises(Death):
            await Life(service).settle(0)
    [starts] = await service.column(text(ALONE))
    service.killers.clear()
    service.failing.add(0)
    life = Life(service)
    life.lane().deliver([make_record(b"0", topic=TOPIC)])
    progress = await life.lane().step()
    assert progress.done == 0
    assert await service.column(text(ALONE)) == [starts]
    await life.lane().step()
    assert await service.column(text(ALONE)) == []
    assert await service.events() == [0]


async def test_who_is_cancelled_blames_nobody(tables: Database) -> None:
    """A handler that outlasts the grace time of one deploy after another is slow, and no killer."""
    service = Service(tables)
    await Life(service).settle(0)
    service.seconds, service.side_by_side = 60.0, 0
    life = Life(service)
    settling = asyncio.create_task(life.settle(1))

    async def begun() -> None:
        assert service.side_by_side == 1

    await eventually_async(begun)
    assert await service.column(text(ALONE)) == [1]
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    await life.end()
    assert await service.column(select(LANES.c.starts)) == [0]


async def test_what_is_suspected_outlasts_whoever_gives_the_lane_up(tables: Database) -> None:
    """Else owners that come and go faster than a lane is past it would never find the killer."""
    service = Service(tables, 4)
    with pytest.raises(Death):
        await Life(service).settle(*range(10))
    for _ in range(3):
        careful = Life(service)
        await careful.settle(0)
        await careful.end()
        assert await service.column(select(LANES.c.partition)) == [0]
    assert await service.deaths(10) < MOST_DEATHS
    assert [failure[0] for failure in await service.failures()] == [4]


async def test_topics_that_a_collation_merges_are_different_lanes(tables: Database) -> None:
    """A death in one says nothing of the other."""
    orders, capital = Service(tables, 0), Service(tables, topic="Orders")
    await Life(capital).settle(0)
    with pytest.raises(Death):
        await Life(orders).settle(0)
    found = await orders.column(select(LANES.c.topic).order_by(LANES.c.lane))
    assert sorted(found) == ["Orders", "orders"]


@pytest.mark.parametrize(("careful_seconds", "side_by_side"), [(20.0, 1), (0.0, 3)])
async def test_one_lane_at_a_time_is_careful_but_none_waits_for_ever(
    tables: Database, careful_seconds: float, side_by_side: int
) -> None:
    """So that one batch is to blame; while one handler takes hours, the others go on."""
    service = Service(tables)
    died = Life(service)
    for partition in range(3):
        await died.settle(0, partition=partition)
    service.side_by_side, service.seconds = 0, 0.1
    life = Life(service, careful_seconds=careful_seconds)
    await asyncio.gather(*(life.settle(1, partition=partition) for partition in range(3)))
    assert service.side_by_side == side_by_side


async def test_skipped_events_leave_no_trace_and_yet_the_killer_behind_them_is_found(
    tables: Database,
) -> None:
    """They are handled again by each process, batch after batch, before it comes to the killer."""
    service = Service(tables, 30)
    service.skipping = True
    assert await service.deaths(40, batch=3) <= MOST_DEATHS
    assert [failure[0] for failure in await service.failures()] == [30]


async def survives_both(service: Service) -> bool:
    """Start a process that settles two partitions side by side; return whether it ends in order."""
    life, died = Life(service), False
    try:
        async with asyncio.TaskGroup() as lanes:
            for partition in range(2):
                lanes.create_task(life.settle(*range(6), partition=partition))
    except* Death:
        died = True
    return not died


async def test_each_of_two_killers_in_two_partitions_is_found(tables: Database) -> None:
    """No process forgets what is known of the lane that it does not die of."""
    service, deaths = Service(tables, 3), 0
    while not await survives_both(service):
        deaths += 1
        # On a slow machine, care may end before the batch that it is for.
        assert deaths <= 2 * (MOST_DEATHS + 2)
    assert [failure[0] for failure in await service.failures()] == [3, 3]
    assert await service.events() == sorted(2 * [0, 1, 2, 4, 5])


@settings(deadline=None, max_examples=40)
@given(
    killers=st.sets(st.integers(0, 15), min_size=1, max_size=2),
    batches=st.lists(st.integers(1, 16), min_size=1, max_size=4),
    transactional=st.booleans(),
)
async def test_whatever_the_batches_are_the_killers_become_failures_and_nothing_else_does(
    killers: set[int], batches: list[int], *, transactional: bool
) -> None:
    """Each process begins at the first event again, and takes them in other batches."""
    async with database() as tables:
        service, deaths = Service(tables, *killers, transactional=transactional), 0
        while not await service.survives(16, batch=batches[deaths % len(batches)]):
            deaths += 1
            assert deaths <= len(killers) * (MOST_DEATHS + 2)
        assert await service.failures() == [
            (killer, PROCESS_DIED, MAX_STARTS) for killer in sorted(killers)
        ]
        assert await service.events() == [n for n in range(16) if n not in killers]
