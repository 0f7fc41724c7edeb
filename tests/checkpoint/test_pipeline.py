"""Whatever the handler and the database do, an event's outcome is recorded before it is done."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Metadata, ack
from app.checkpoint.attempts import Handler
from app.checkpoint.database import Database
from app.checkpoint.events import make_record
from app.checkpoint.lanes import Lane
from app.checkpoint.notifications import Notifications
from app.checkpoint.options import Options
from app.checkpoint.outages import Outages
from app.checkpoint.pipeline import BATCH_SECONDS, Pipeline
from app.checkpoint.reports import Reports
from app.checkpoint.testing import database
from tests.polling import eventually_async

TOPIC = "orders"
AT_ONCE = Backoff(min=0.0, max=0.0, jitter=0.0)
HOUR = Backoff(min=3600.0, max=3600.0, jitter=0.0)
IMMEDIATE = Backoff(min=0.001, max=0.001, jitter=0.0)

NO_SHOP = "no shop"
"""A payload whose effect the database refuses, not before it is committed."""

Rule = Callable[[Any, Metadata], None]


class Service:
    """A service with one agent: its rule may raise, its effects are rows of a table of its own."""

    def __init__(self, database: Database, rule: Rule, **options: Any) -> None:
        self.database = database
        self.runs: list[tuple[int, int]] = []
        """Offset and attempt of each time that the handler ran."""
        self.outages = Outages(IMMEDIATE)
        self._rule = rule
        options.setdefault("backoff", AT_ONCE)
        chosen = Options(**options)
        function = self._transactional if chosen.transactional else self._plain
        handler = Handler(function, chosen, agent="orders", group_id="service")
        self._pipeline = Pipeline(
            handler,
            database=database,
            outages=self.outages,
            reports=Reports(handler, Notifications()),
        )

    def lane(self, *values: bytes, offset: int = 0, partition: int = 0) -> Lane:
        """Return a lane in which these values wait, from this offset on."""
        lane = Lane(TP(TOPIC, partition), self._pipeline.settle)
        lane.deliver(
            make_record(value, topic=TOPIC, partition=partition, offset=at)
            for at, value in enumerate(values, start=offset)
        )
        return lane

    async def settle(self, *values: bytes, offset: int = 0, partition: int = 0) -> Lane:
        """Settle these values, with all their retries."""
        lane = self.lane(*values, offset=offset, partition=partition)
        while len(lane):
            await lane.step()
        return lane

    async def events(self) -> list[int]:
        """Return the offsets of the event rows, in the order of writing."""
        return await self._column(
            "SELECT checkpoint_events.offset FROM checkpoint_events ORDER BY id"
        )

    async def failures(self) -> list[tuple[int, str, int]]:
        """Return offset, status and attempts of the failure rows."""
        statement = "SELECT f.offset, status, attempts FROM checkpoint_failures AS f ORDER BY id"
        async with self.database.engine.connect() as connection:
            return [tuple(row) for row in await connection.execute(text(statement))]

    async def effects(self) -> list[int]:
        """Return the offsets whose handler's writes have stayed."""
        return await self._column("SELECT at FROM effects ORDER BY at")

    async def _column(self, statement: str) -> list[int]:
        async with self.database.engine.connect() as connection:
            return list(await connection.scalars(text(statement)))

    async def _plain(self, payload: Any, metadata: Metadata) -> Ack:
        return self._handle(payload, metadata)

    async def _transactional(self, payload: Any, metadata: Metadata, session: AsyncSession) -> Ack:
        effect = {"at": metadata.offset, "shop": None if payload != NO_SHOP else 0}
        await session.execute(text("INSERT INTO effects VALUES (:at, :shop)"), effect)
        return self._handle(payload, metadata)

    def _handle(self, payload: Any, metadata: Metadata) -> Ack:
        self.runs.append((metadata.offset, metadata.attempt))
        self._rule(payload, metadata)
        return ack(str(payload), 0)


@asynccontextmanager
async def _tables(url: str = "sqlite:///:memory:") -> AsyncIterator[Database]:
    async with database(url) as opened:
        # MariaDB checks all references at once.
        later = "" if opened.dialect == "mysql" else "DEFERRABLE INITIALLY DEFERRED"
        shop = f"shop INTEGER, FOREIGN KEY (shop) REFERENCES shops (id) {later}"
        async with opened.engine.begin() as connection:
            await connection.execute(text("CREATE TABLE shops (id INTEGER PRIMARY KEY)"))
            await connection.execute(text(f"CREATE TABLE effects (at INTEGER, {shop})"))
        yield opened


@pytest.fixture
async def tables() -> AsyncIterator[Database]:
    """Return an empty database that also has the service's own tables."""
    async with _tables() as opened:
        yield opened


@pytest.fixture(params=[False, True], ids=["plain", "transactional"])
def transactional(request: pytest.FixtureRequest) -> bool:
    """Return whether the handler writes through a session, each way in turn."""
    return bool(request.param)


def fine(_: Any, __: Metadata) -> None:
    """Let every event pass."""


def failing(*payloads: Any, until: float = float("inf")) -> Rule:
    """Return a rule that refuses some payloads, up to an attempt."""

    def rule(payload: Any, metadata: Metadata) -> None:
        if payload in payloads and metadata.attempt <= until:
            raise LookupError(payload)

    return rule


def sent(*payloads: Any) -> list[bytes]:
    """Return payloads as they stand in messages."""
    return [orjson.dumps(payload) for payload in payloads]


async def test_events_are_handled_and_recorded_in_offset_order(
    tables: Database, *, transactional: bool
) -> None:
    """One batch, one row each."""
    service = Service(tables, fine, transactional=transactional)
    await service.settle(*sent("a", "b", "c"))
    assert service.runs == [(0, 1), (1, 1), (2, 1)]
    assert await service.events() == [0, 1, 2]


async def test_equal_content_is_handled_once(tables: Database, *, transactional: bool) -> None:
    """Twins in one batch, a redelivery, and the same content from another partition."""
    service = Service(tables, fine, transactional=transactional)
    await service.settle(*sent("a", "b", "a"))
    await service.settle(*sent("a", "b", "a"))
    await service.settle(*sent("b"), partition=1)
    assert service.runs == [(0, 1), (1, 1)]
    assert await service.events() == [0, 1]


@given(
    retries=st.integers(0, 4),
    failures=st.dictionaries(st.integers(0, 5), st.integers(1, 6)),
    transactional=st.booleans(),
)
@settings(deadline=None, max_examples=60)
async def test_attempts_outcomes_and_effects_are_as_promised(
    retries: int, failures: dict[int, int], *, transactional: bool
) -> None:
    """An event that fails n times succeeds after it, or becomes a failure; order is kept."""

    def rule(payload: Any, metadata: Metadata) -> None:
        if metadata.attempt <= failures.get(payload, 0):
            raise LookupError(payload)

    offsets = range(6)
    lost = [offset for offset in offsets if failures.get(offset, 0) > retries]
    kept = [offset for offset in offsets if offset not in lost]
    async with _tables() as tables:
        service = Service(tables, rule, max_retries=retries, transactional=transactional)
        lane = await service.settle(*sent(*offsets))
        assert lane.attempts == {}
        assert await service.events() == kept
        assert await service.failures() == [(offset, "open", retries + 1) for offset in lost]
        assert await service.effects() == (kept if transactional else [])
    for offset in offsets:
        attempts = [attempt for at, attempt in service.runs if at == offset]
        last = min(failures.get(offset, 0), retries) + 1
        # Plain: just these. In a transaction a success may be rolled back with a later failure.
        assert list(dict.fromkeys(attempts)) == list(range(1, last + 1))
        assert transactional or len(attempts) == last


@given(fails=st.lists(st.booleans(), min_size=1, max_size=6), transactional=st.booleans())
@settings(deadline=None, max_examples=60)
async def test_of_twins_in_one_batch_the_last_outcome_counts(
    *, fails: list[bool], transactional: bool
) -> None:
    """Equal content is handled until it succeeds once, and that settles what failed before it."""

    def rule(_: Any, metadata: Metadata) -> None:
        if fails[metadata.offset]:
            raise LookupError

    succeeds = fails.index(False) if False in fails else None
    failed = len(fails) if succeeds is None else succeeds
    status = "open" if succeeds is None else "resolved"
    async with _tables() as tables:
        service = Service(tables, rule, max_retries=0, transactional=transactional)
        await service.settle(*sent(*["a"] * len(fails)))
        assert await service.events() == ([] if succeeds is None else [succeeds])
        assert await service.failures() == ([(failed - 1, status, failed)] if failed else [])


async def test_an_event_without_a_bound_is_tried_until_it_succeeds(
    tables: Database, *, transactional: bool
) -> None:
    """`max_retries=None` gives up never."""
    rule = failing("a", until=20)
    service = Service(tables, rule, max_retries=None, transactional=transactional)
    await service.settle(*sent("a"))
    assert service.runs[-1] == (0, 21)
    assert (await service.events(), await service.failures()) == ([0], [])


async def test_what_came_before_a_retry_is_done_before_its_backoff(
    tables: Database, *, transactional: bool
) -> None:
    """A batch closes at an event that is to be retried, and that event holds up what follows."""
    service = Service(tables, failing("b"), backoff=HOUR, transactional=transactional)
    lane = service.lane(*sent("a", "b", "c"))
    waiting = asyncio.create_task(lane.run())

    async def before_is_recorded() -> None:
        assert (await service.events(), lane.position) == ([0], 1)

    await eventually_async(before_is_recorded)
    lane.stop()
    await waiting
    assert (0, 1) in service.runs
    assert max(offset for offset, _ in service.runs) == 1


async def test_a_failure_that_is_delivered_again_is_not_handled_again(
    tables: Database, *, transactional: bool
) -> None:
    """A crash between the failure's commit and the offset's costs nothing."""
    service = Service(tables, failing("a"), max_retries=1, transactional=transactional)
    await service.settle(*sent("a"))
    await service.settle(*sent("a"))
    assert service.runs == [(0, 1), (0, 2)]
    assert await service.failures() == [(0, "open", 2)]


async def test_content_that_failed_and_is_sent_anew_gets_another_chance(
    tables: Database, *, transactional: bool
) -> None:
    """Its success resolves the open failure."""

    def rule(payload: Any, metadata: Metadata) -> None:
        failing(payload)(payload, metadata) if metadata.offset == 0 else None

    service = Service(tables, rule, max_retries=0, transactional=transactional)
    await service.settle(*sent("a"))
    await service.settle(*sent("a"), offset=7)
    assert await service.events() == [7]
    assert await service.failures() == [(0, "resolved", 1)]


async def test_content_that_fails_again_is_one_failure(
    tables: Database, *, transactional: bool
) -> None:
    """Attempts add up, and the row tells where it failed last."""
    service = Service(tables, failing("a"), max_retries=1, transactional=transactional)
    await service.settle(*sent("a"))
    await service.settle(*sent("a"), offset=7)
    assert await service.failures() == [(7, "open", 4)]


async def test_an_event_whose_row_is_refused_is_a_failure_and_its_neighbours_are_not(
    tables: Database, *, transactional: bool
) -> None:
    """A constraint that a service has put on the table is about one event, not about the batch."""
    refuse = (
        "CREATE TRIGGER refuse BEFORE INSERT ON checkpoint_events WHEN NEW.entity_id = 'b'"
        " BEGIN SELECT RAISE(ABORT, 'no b'); END"
    )
    async with tables.engine.begin() as connection:
        await connection.execute(text(refuse))
    service = Service(tables, fine, max_retries=0, transactional=transactional)
    await service.settle(*sent("a"))
    async with asyncio.timeout(10):
        await service.settle(*sent("a", "b", "c", "d"))
    assert await service.events() == [0, 2, 3]
    assert await service.failures() == [(1, "open", 1)]


async def test_an_effect_that_is_refused_at_commit_is_found_by_bisection(tables: Database) -> None:
    """Only the event whose writes break a deferred constraint fails, after all its retries."""
    service = Service(tables, fine, max_retries=2, transactional=True)
    await service.settle(*sent("a", "b", "c", NO_SHOP, "d", "e"))
    assert await service.events() == await service.effects() == [0, 1, 2, 4, 5]
    assert await service.failures() == [(3, "open", 3)]


@pytest.mark.parametrize("table", ["checkpoint_events", "checkpoint_failures"])
async def test_a_schema_that_does_not_fit_is_waited_out(
    tables: Database, table: str, *, transactional: bool
) -> None:
    """A table that is away for a while costs no event a retry, and the handler runs once for it."""

    def rule(payload: Any, _: Metadata) -> None:
        if payload == "fails":
            raise LookupError

    service = Service(tables, rule, max_retries=0, transactional=transactional)
    async with tables.engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {table} RENAME TO away"))
    settling = asyncio.create_task(service.settle(*sent("a", "fails")))

    async def waits() -> None:
        assert service.outages.since is not None

    await eventually_async(waits)
    assert not settling.done()
    async with tables.engine.begin() as connection:
        await connection.execute(text(f"ALTER TABLE away RENAME TO {table}"))
    await settling
    assert (await service.events(), await service.failures()) == ([0], [(1, "open", 1)])


async def test_a_handler_is_not_run_again_because_recording_failed(tables: Database) -> None:
    """Deciding and recording are apart: an outage repeats the recording only."""
    service = Service(tables, fine)
    async with tables.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE checkpoint_events RENAME COLUMN sort_key TO x"))
    settling = asyncio.create_task(service.settle(*sent("a")))

    async def waits() -> None:
        assert service.outages.since is not None

    await eventually_async(waits)
    async with tables.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE checkpoint_events RENAME COLUMN x TO sort_key"))
    await settling
    assert service.runs == [(0, 1)]
    assert await service.events() == [0]


async def test_a_batch_closes_when_its_handlers_have_taken_their_time(
    tables: Database, *, transactional: bool
) -> None:
    """After a crash no more than this is handled again."""

    def rule(_: Any, __: Metadata) -> None:
        closes_at = time.monotonic() + BATCH_SECONDS
        while time.monotonic() <= closes_at:
            pass

    service = Service(tables, rule, transactional=transactional)
    lane = service.lane(*sent("a", "b", "c"))
    await lane.step()
    assert (await service.events(), lane.position) == ([0], 1)


async def test_a_lane_that_is_stopped_begins_no_other_event(tables: Database) -> None:
    """The event in hand is finished and recorded; those behind it are left for the next worker."""

    def rule(payload: Any, _: Metadata) -> None:
        if payload == "b":
            lane.stop()

    service = Service(tables, rule)
    lane = service.lane(*sent("a", "b", "c"))
    await lane.step()
    assert (await service.events(), lane.position, len(lane)) == ([0, 1], 2, 1)


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
async def test_of_two_workers_at_one_event_one_takes_effect(
    request: pytest.FixtureRequest, server: str
) -> None:
    """Both have looked before either has written: the unique identity decides, at the commit."""
    both = asyncio.Barrier(2)

    class Meeting(Service):
        """A service whose handler waits for its twin, in the middle of its transaction."""

        async def _transactional(
            self, payload: Any, metadata: Metadata, session: AsyncSession
        ) -> Ack:
            answer = await super()._transactional(payload, metadata, session)
            await both.wait()
            return answer

    async with _tables(request.getfixturevalue(f"{server}_url")) as tables:
        workers = [Meeting(tables, fine, backoff=HOUR, transactional=True) for _ in range(2)]
        async with asyncio.timeout(20):
            await asyncio.gather(*(worker.settle(*sent("a")) for worker in workers))
        assert [worker.runs for worker in workers] == [[(0, 1)]] * 2
        assert len(await workers[0].events()) == len(await workers[0].effects()) == 1
