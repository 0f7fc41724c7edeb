"""What handlers write is sent together, and nothing else tells it from being sent one by one."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, delete, event, func, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from app.checkpoint import Ack, Metadata, ack
from app.checkpoint.attempts import Handler
from app.checkpoint.database import Database
from app.checkpoint.events import make_record
from app.checkpoint.lanes import Lane
from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.notifications import Notifications
from app.checkpoint.options import Options
from app.checkpoint.outages import Outages
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.reports import Reports
from app.checkpoint.testing import database

# It comes if the garbage collector has not been there yet; the error follows in any case.
pytestmark = pytest.mark.filterwarnings("ignore:New instance:sqlalchemy.exc.SAWarning")

ONE_BY_ONE = 10**6


class Model(DeclarativeBase):
    """Where the service's own table is."""


class Effect(Model):
    """What one handler has written."""

    __tablename__ = "effects"

    at: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    seen: Mapped[int] = mapped_column(BigInteger)
    """How many rows there were before."""


class RefusedError(Exception):
    """What some handlers make of the database's refusals."""


Deed = Callable[[AsyncSession, Effect], Awaitable[None]]


async def add(session: AsyncSession, effect: Effect) -> None:
    """Leave a new object to be flushed."""
    session.add(effect)


async def insert_at_once(session: AsyncSession, effect: Effect) -> None:
    """Send a statement."""
    await session.execute(insert(Effect), {"at": effect.at, "seen": effect.seen})


async def look(session: AsyncSession, effect: Effect) -> None:
    """Count in a way that flushes nothing by itself."""
    effect.seen = await session.scalar(select(func.count()).select_from(Effect.__table__)) or 0
    session.add(effect)


async def look_below(session: AsyncSession, effect: Effect) -> None:
    """Count behind the session's back."""
    connection = await session.connection()
    effect.seen = await connection.scalar(text("SELECT count(*) FROM effects")) or 0
    session.add(effect)


async def get(session: AsyncSession, effect: Effect) -> None:
    """Ask for another event's object."""
    other = await session.get(Effect, effect.at - 1)
    effect.seen = -1 if other is None else other.seen
    session.add(effect)


async def change(session: AsyncSession, effect: Effect) -> None:
    """Change another event's object."""
    other = await session.get(Effect, effect.at - 1)
    if other is not None:
        other.seen += 1000
    session.add(effect)


async def remove(session: AsyncSession, effect: Effect) -> None:
    """Delete another event's object."""
    other = await session.get(Effect, effect.at - 2)
    if other is not None:
        await session.delete(other)
    session.add(effect)


async def remove_at_once(session: AsyncSession, effect: Effect) -> None:
    """Send a statement that hits what others have written."""
    await session.execute(delete(Effect).where(Effect.at == effect.at - 1))
    session.add(effect)


async def forget_all(session: AsyncSession, effect: Effect) -> None:
    """Empty the session, as one does who works through a lot."""
    session.expunge_all()
    session.add(effect)


async def expire_all(session: AsyncSession, effect: Effect) -> None:
    """Have everything loaded again."""
    session.add(effect)
    session.expire_all()


async def think_again(session: AsyncSession, effect: Effect) -> None:
    """Take back one's own object."""
    session.add(effect)
    session.expunge(effect)


async def repeat(session: AsyncSession, effect: Effect) -> None:
    """Leave what the database refuses: a key that another event has."""
    session.add(Effect(at=effect.at - 1, seen=0))


async def repeat_in_savepoint(session: AsyncSession, effect: Effect) -> None:
    """Have the database refuse something, and go on without."""
    try:
        async with session.begin_nested():
            session.add(Effect(at=effect.at - 1, seen=7))
    except IntegrityError:
        session.add(effect)


async def swallow(session: AsyncSession, effect: Effect) -> None:
    """Take a refusal for one's own."""
    try:
        await session.scalar(select(func.count()).select_from(Effect))
    except IntegrityError:
        return
    session.add(effect)


async def disguise(session: AsyncSession, effect: Effect) -> None:
    """Let no one see that it was the database that refused."""
    try:
        await session.scalar(select(func.count()).select_from(Effect))
    except IntegrityError as error:
        raise RefusedError from error
    session.add(effect)


async def give_up(session: AsyncSession, effect: Effect) -> None:
    """Fail with something left in the session."""
    session.add(effect)
    raise RefusedError


DEEDS: tuple[Deed, ...] = (
    *(add, add, insert_at_once, look, look_below, get, change, remove, remove_at_once, forget_all),
    *(expire_all, think_again, repeat, repeat_in_savepoint, swallow, disguise, give_up),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the tables hold in the end."""

    effects: list[tuple[Any, ...]]
    events: list[tuple[Any, ...]]
    failures: list[tuple[Any, ...]]


async def settle(tables: Database, deeds: list[Deed], *, flush_each: int = 0) -> Settled:
    """Have one handler after the other do its deed, each at first attempt, in one batch."""

    async def handle(_: Any, metadata: Metadata, session: AsyncSession) -> Ack:
        await deeds[metadata.offset](session, Effect(at=metadata.offset, seen=0))
        return ack("effect", 0)

    options = Options(max_retries=0, transactional=True, breaker=None)
    handler = Handler(handle, options, agent="orders", group_id="service")
    reports = Reports(handler, Notifications())
    pipeline = Pipeline(handler, database=tables, outages=Outages(), reports=reports)
    lane = Lane(TP("orders", 0), pipeline.settle)
    lane.flush_each = flush_each
    lane.deliver(make_record(b"%d" % at, topic="orders", offset=at) for at in range(len(deeds)))
    while len(lane):
        await lane.step()
    return Settled(
        effects=await rows(tables, select(Effect.at, Effect.seen).order_by(Effect.at)),
        events=await rows(tables, select(EVENTS.c.offset).order_by(EVENTS.c.offset)),
        failures=await rows(
            tables, select(FAILURES.c.offset, FAILURES.c.attempts).order_by(FAILURES.c.offset)
        ),
    )


async def rows(tables: Database, statement: Any) -> list[tuple[Any, ...]]:
    """Return what a statement finds."""
    async with tables.engine.connect() as connection:
        return [tuple(row) for row in await connection.execute(statement)]


@pytest.fixture
async def effects(tables: Database) -> AsyncIterator[Database]:
    """Return a database that has the service's own table too."""
    async with tables.engine.begin() as connection:
        await connection.run_sync(Model.metadata.create_all)
    yield tables
    async with tables.engine.begin() as connection:
        await connection.run_sync(Model.metadata.drop_all)


@settings(max_examples=60, deadline=None)
@given(deeds=st.lists(st.sampled_from(DEEDS), min_size=1, max_size=12))
async def test_nobody_can_tell_that_writes_are_sent_together(deeds: list[Deed]) -> None:
    """Whatever handlers do to the session that they share."""
    settled = []
    for flush_each in (0, ONE_BY_ONE):
        async with database() as tables:
            async with tables.engine.begin() as connection:
                await connection.run_sync(Model.metadata.create_all)
            settled.append(await settle(tables, deeds, flush_each=flush_each))
    assert settled[0] == settled[1]


async def test_new_objects_of_many_handlers_are_few_statements(effects: Database) -> None:
    """A statement for each would take most of a handler's time; a slow batch may be cut in two."""
    sent: Counter[str] = Counter()

    @event.listens_for(effects.engine.sync_engine, "before_cursor_execute")
    def count(_: Any, __: Any, statement: str, *___: Any) -> None:
        sent[statement.partition(" (")[0]] += 1

    settled = await settle(effects, [add] * 200)
    assert settled.effects == [(at, 0) for at in range(200)]
    assert 0 < sent["INSERT INTO effects"] < 20


async def test_each_handler_sees_what_the_one_before_has_added(effects: Database) -> None:
    """Also if it does not ask the session."""
    settled = await settle(effects, [add, look, look_below, add, get, look])
    assert [seen for _, seen in settled.effects] == [0, 1, 2, 0, 0, 5]


async def test_only_the_event_whose_row_is_refused_fails(effects: Database) -> None:
    """The database names no event when it refuses many rows at once."""
    deeds: list[Deed] = [add] * 100
    deeds[50] = repeat
    settled = await settle(effects, deeds)
    assert settled.failures == [(50, 1)]
    assert [at for at, _ in settled.effects] == [at for at in range(100) if at != 50]
    assert len(settled.events) == 99


@pytest.mark.parametrize("victim", [swallow, disguise])
async def test_no_event_is_blamed_for_what_another_has_left(
    effects: Database, victim: Deed
) -> None:
    """The refusal comes out where the next handler asks the database, which may hide it."""
    settled = await settle(effects, [add, repeat, victim, add])
    assert settled.failures == [(1, 1)]
    assert [at for at, _ in settled.effects] == [0, 2, 3]


@pytest.mark.parametrize("how", [expire_all, forget_all])
async def test_what_one_handler_has_left_no_other_takes_back(effects: Database, how: Deed) -> None:
    """Emptying the session, or having all of it loaded again, loses nothing of others."""
    settled = await settle(effects, [add, change, how, add])
    assert settled.effects == [(0, 1000), (1, 0), (2, 0), (3, 0)]
