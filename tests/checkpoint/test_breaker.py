"""An agent whose handler fails alike for event after event is paused, until one succeeds."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import (
    Ack,
    Backoff,
    Breaker,
    Checkpoint,
    ConfigurationError,
    Metadata,
    Notification,
    ack,
)
from app.checkpoint.circuit import Circuit
from app.checkpoint.database import Database
from app.checkpoint.events import make_record
from app.checkpoint.lanes import Lane
from app.checkpoint.testing import database
from tests.checkpoint.desk import Desk
from tests.checkpoint.test_health import WELL, looked_at, working
from tests.checkpoint.test_lanes import Settled
from tests.polling import eventually_async

TOPIC = "orders"
AT_ONCE = Backoff(min=0, max=0)
HOUR = Backoff(min=3600, max=3600, jitter=0)
AFTER_AN_HOUR = Breaker(failures=3, probe=HOUR)

Rule = Callable[[Any, Metadata], Ack | None]


class Shop:
    """An agent of several partitions, and the dependency that its handler needs."""

    def __init__(self, database: Database, *, rule: Rule | None = None, **options: Any) -> None:
        self.down = True
        self.runs: list[tuple[int, int]] = []
        """Value and attempt of each time that the handler ran."""
        self.blocks: Callable[[], bool] = lambda: False
        """Whether the handler waits for its release."""
        self.blocked, self.release = asyncio.Event(), asyncio.Event()
        self.heard: list[tuple[str, Notification]] = []
        self.database = database
        self.checkpoint = Checkpoint("sqlite:///:memory:", backoff=AT_ONCE)
        for signal in vars(self.checkpoint.notifications).values():
            signal.connect(self._hear)
        self._rule = rule or self._ask
        function = self._write if options.get("transactional") else self._handle
        decorated = self.checkpoint(**options)(function)
        self._pipeline = decorated.pipeline(agent="shop", group_id="group", database=database)

    @property
    def circuit(self) -> Circuit:
        """Its state."""
        return self._pipeline.circuit

    def lane(self, *values: Any, partition: int = 0) -> Lane:
        """Return the lane of a partition in which these values wait."""
        lane = Lane(TP(TOPIC, partition), self._pipeline.settle)
        lane.deliver(
            make_record(orjson.dumps(value), topic=TOPIC, partition=partition, offset=offset)
            for offset, value in enumerate(values)
        )
        return lane

    def lanes(self, values: Iterable[int], count: int) -> list[Lane]:
        """Return lanes in which these values wait in turn."""
        every = list(values)
        return [self.lane(*every[at::count], partition=at) for at in range(count)]

    def told(self, name: str) -> list[Notification]:
        """Return what one signal has told."""
        return [notification for signal, notification in self.heard if signal == name]

    async def events(self) -> list[str]:
        """Return the values of the event rows."""
        return await self._column("SELECT entity_id FROM checkpoint_events ORDER BY id")

    async def failures(self) -> list[int]:
        """Return the attempts of the failure rows."""
        return await self._column("SELECT attempts FROM checkpoint_failures ORDER BY id")

    async def _column(self, statement: str) -> list[Any]:
        async with self.database.engine.connect() as connection:
            return list(await connection.scalars(text(statement)))

    def _hear(self, notification: Notification, /, *_: Any, signal: Any, **__: Any) -> None:
        self.heard.append((signal.name, notification))

    async def _write(self, payload: Any, metadata: Metadata, _: AsyncSession) -> Ack | None:
        return await self._handle(payload, metadata)

    async def _handle(self, payload: Any, metadata: Metadata) -> Ack | None:
        self.runs.append((payload, metadata.attempt))
        if self.blocks():
            self.blocked.set()
            await self.release.wait()
        # Elsewhere there is I/O: the other lanes go on meanwhile.
        await asyncio.sleep(0)
        return self._rule(payload, metadata)

    def _ask(self, payload: Any, _: Metadata) -> Ack:
        if self.down:
            raise ConnectionRefusedError(payload)
        return ack(str(payload), 0)


@asynccontextmanager
async def working_off(*lanes: Lane) -> AsyncIterator[None]:
    """Have lanes work as in a worker, and stop them in order."""
    tasks = [asyncio.create_task(lane.run()) for lane in lanes]
    try:
        yield
    finally:
        for lane in lanes:
            lane.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 10)


async def work_off(*lanes: Lane) -> None:
    """Settle all that waits in some lanes, side by side."""

    async def work(lane: Lane) -> None:
        while len(lane):
            await lane.step()

    await asyncio.wait_for(asyncio.gather(*map(work, lanes)), 30)


async def settled(*lanes: Lane) -> None:
    """Return once nothing waits in these lanes."""

    async def nothing_waits() -> None:
        assert not any(map(len, lanes))

    await eventually_async(nothing_waits)


async def paused(shop: Shop) -> None:
    """Return once the agent is paused."""

    async def is_paused() -> None:
        assert shop.circuit.pause is not None

    await eventually_async(is_paused)


@pytest.fixture(params=[False, True], ids=["plain", "transactional"])
def transactional(request: pytest.FixtureRequest) -> bool:
    """Return whether the handler writes through a session, each way in turn."""
    return bool(request.param)


async def test_an_outage_costs_the_budget_and_ends_by_itself(
    tables: Database, *, transactional: bool
) -> None:
    """On each database: the topic is still there when the dependency comes back."""
    breaker = Breaker(failures=3, probe=AT_ONCE)
    shop = Shop(tables, max_retries=1, breaker=breaker, transactional=transactional)

    def back_after_ten(payload: Any, _: Metadata) -> Ack:
        shop.down = len(shop.runs) <= 10
        return shop._ask(payload, _)  # noqa: SLF001 - its own

    shop._rule = back_after_ten  # noqa: SLF001 - the same
    lane = shop.lane(*range(20))
    await work_off(lane)
    assert await shop.failures() == [2, 2, 2, 4]
    assert await shop.events() == [str(value) for value in range(4, 20)]
    assert len(shop.told("agent_paused")) == len(shop.told("agent_resumed")) == 1


@given(
    budget=st.integers(1, 5),
    retries=st.integers(0, 3),
    lasts=st.integers(0, 80),
    lanes=st.integers(1, 4),
    transactional=st.booleans(),
)
@settings(deadline=None, max_examples=25)
async def test_however_long_an_outage_lasts_a_handful_of_events_fails(
    budget: int, retries: int, lasts: int, lanes: int, *, transactional: bool
) -> None:
    """The budget, and one of the probes now and then; all others are handled."""

    def rule(payload: Any, _: Metadata) -> Ack:
        if len(shop.runs) <= lasts:
            raise ConnectionRefusedError
        return ack(str(payload), 0)

    breaker = Breaker(failures=budget, probe=AT_ONCE)
    options = {"max_retries": retries, "breaker": breaker, "transactional": transactional}
    async with database() as tables:
        shop = Shop(tables, rule=rule, **options)
        waiting = shop.lanes(range(60), lanes)
        await work_off(*waiting)
        failures, events = await shop.failures(), await shop.events()
    first = budget * (retries + 1)
    assert len(failures) <= budget + max(0, lasts - first) // (2 * (retries + 1))
    assert len(set(events)) == len(events) == 60 - len(failures)
    assert shop.circuit.pause is None


class RefusedError(Exception):
    """What the event itself is to blame for."""


FATES = st.one_of(
    st.sampled_from(["good", "skipped", "refused"]),
    st.tuples(st.sampled_from([ConnectionError, TimeoutError]), st.integers(1, 8)),
)


@given(
    fates=st.lists(FATES, min_size=1, max_size=24),
    budget=st.integers(1, 3),
    retries=st.integers(0, 2),
    lanes=st.integers(1, 3),
    transactional=st.booleans(),
)
@settings(deadline=None, max_examples=40)
async def test_whatever_becomes_of_the_events_none_is_lost_or_tried_too_often(
    fates: list[Any], budget: int, retries: int, lanes: int, *, transactional: bool
) -> None:
    """Each has one outcome, and what would have succeeded in time has succeeded."""

    def rule(payload: int, metadata: Metadata) -> Ack | None:
        match fates[payload]:
            case "refused":
                raise RefusedError
            case (error, times) if metadata.attempt <= times:
                raise error
            case "skipped":
                return None
        return ack(str(payload), 0)

    breaker = Breaker(failures=budget, probe=AT_ONCE)
    async with database() as tables:
        shop = Shop(
            tables,
            rule=rule,
            max_retries=retries,
            retry_if=lambda error, _: not isinstance(error, RefusedError),
            breaker=breaker,
            transactional=transactional,
        )
        waiting = shop.lanes(range(len(fates)), lanes)
        await work_off(*waiting)
        events, failures = await shop.events(), await shop.failures()
    skipped = fates.count("skipped")
    assert len(set(events)) == len(events) == len(fates) - skipped - len(failures)
    must_succeed = {
        str(value)
        for value, fate in enumerate(fates)
        if fate == "good" or (isinstance(fate, tuple) and fate[1] <= retries)
    }
    assert set(events) >= must_succeed
    assert max(attempt for _, attempt in shop.runs) <= 2 * (retries + 1)
    assert all(retries < attempts <= 2 * (retries + 1) or attempts == 1 for attempts in failures)


@given(
    goods=st.lists(st.integers(1, 3), max_size=30),
    budget=st.integers(1, 10),
    retries=st.integers(0, 1),
    transactional=st.booleans(),
)
@settings(deadline=None, max_examples=20)
async def test_bad_events_among_good_ones_are_failures(
    goods: list[int], budget: int, retries: int, *, transactional: bool
) -> None:
    """With a good one for each of them the agent is never paused."""
    kinds = [kind for count in goods for kind in ["bad", *["good"] * count]]

    def rule(payload: int, _: Metadata) -> Ack:
        if kinds[payload] == "bad":
            raise LookupError
        return ack(str(payload), 0)

    breaker = Breaker(failures=budget, probe=HOUR)
    options = {"max_retries": retries, "breaker": breaker, "transactional": transactional}
    async with database() as tables:
        shop = Shop(tables, rule=rule, **options)
        lane = shop.lane(*range(len(kinds)))
        await work_off(lane)
        assert len(await shop.failures()) == kinds.count("bad")
        assert len(await shop.events()) == kinds.count("good")
    assert shop.told("agent_paused") == []


@pytest.fixture
async def empty() -> AsyncIterator[Database]:
    """Return an empty database in memory."""
    async with database() as opened:
        yield opened


async def test_while_paused_nothing_begins_and_what_is_known_is_passed_over(
    empty: Database, *, transactional: bool
) -> None:
    """In no lane of the agent; a stop ends the wait at once."""
    shop = Shop(empty, max_retries=0, breaker=AFTER_AN_HOUR, transactional=transactional)
    shop.down = False
    known = shop.lane("known")
    await known.step()
    shop.down = True
    lane, other = shop.lane(*range(9)), shop.lane("known", 10, 11, partition=1)
    async with working_off(lane):
        await paused(shop)
        assert await shop.failures() == [1, 1, 1]
        runs = list(shop.runs)
        async with working_off(other):

            async def passed_over() -> None:
                assert (other.position, len(other)) == (1, 2)

            await eventually_async(passed_over)
    assert shop.runs == runs
    assert (len(lane), lane.position) == (6, 3)


async def test_events_in_hand_when_the_agent_is_paused_are_held_too(empty: Database) -> None:
    """Each lane may have one."""
    shop = Shop(empty, max_retries=0, breaker=AFTER_AN_HOUR)
    shop.blocks = lambda: True
    lanes = shop.lanes(range(16), 8)
    async with working_off(*lanes):

        async def all_have_begun() -> None:
            assert len(shop.runs) == 8
            shop.release.set()

        await eventually_async(all_have_begun)
        await paused(shop)
    assert await shop.failures() == [1, 1, 1]
    assert sum(map(len, lanes)) == 13


async def test_one_event_is_tried_while_all_others_wait(empty: Database) -> None:
    """As soon as it has succeeded, they go on, whatever they were told to wait."""
    shop = Shop(empty, max_retries=0, breaker=Breaker(failures=3, probe=AT_ONCE))
    shop.blocks = lambda: shop.circuit.pause is not None
    lanes = shop.lanes(range(20), 5)
    async with working_off(*lanes):
        await shop.blocked.wait()
        begun = len(shop.runs)
        # The others ask the database meanwhile, and are told to wait for longer than this test may.
        for _ in range(3):
            await shop.events()
        assert len(shop.runs) == begun
        shop.down = False
        shop.release.set()
        await settled(*lanes)
    assert len(await shop.failures()) == 3
    assert len(await shop.events()) == 17


async def test_a_probe_that_is_cut_off_leaves_its_turn_to_another_lane(empty: Database) -> None:
    """Its partition was taken away: nobody waits for it."""
    shop = Shop(empty, max_retries=0, breaker=Breaker(failures=1, probe=AT_ONCE))
    shop.blocks = lambda: shop.circuit.pause is not None
    cut_off, other = shop.lane(0, 1), shop.lane(2, partition=1)
    running = asyncio.create_task(cut_off.run())
    await asyncio.wait_for(shop.blocked.wait(), 10)
    shop.down = False
    async with working_off(other):
        running.cancel()
        await asyncio.wait([running])
        shop.release.set()
        await settled(other)
    assert running.cancelled()
    assert shop.circuit.pause is None
    assert await shop.events() == ["2"]


@pytest.mark.parametrize(
    "options",
    [
        {"breaker": None},
        {"max_retries": None, "breaker": Breaker(failures=1), "timeout": None},
        {"breaker": Breaker(failures=3, seconds=1e-9)},
        {"retry_if": lambda _, __: False, "max_retries": 1, "breaker": AFTER_AN_HOUR},
        {"decode": lambda _: 1 / 0, "breaker": AFTER_AN_HOUR},
        {"identity": lambda _, __: 1 / 0, "breaker": AFTER_AN_HOUR},
        {"breaker": Breaker(failures=10)},
    ],
    ids=["off", "for_ever", "too_old", "refused", "decoding", "naming", "too_few"],
)
async def test_what_is_no_outage_pauses_nothing(options: dict[str, Any], empty: Database) -> None:
    """The event's own fault, one that is tried for ever, and failures that are too few or old."""

    def rule(payload: Any, metadata: Metadata) -> Ack:
        if metadata.attempt < 20:
            raise LookupError
        return ack(str(payload), 0)

    shop = Shop(empty, rule=rule, **{"max_retries": 0, **options})
    lane = shop.lane(*range(8))
    await work_off(lane)
    assert shop.told("agent_paused") == []
    assert len(await shop.failures()) + len(await shop.events()) == 8


async def test_equal_content_sent_anew_is_no_other_event(empty: Database) -> None:
    """One bad event pauses nothing, however often it comes."""
    shop = Shop(empty, max_retries=0, breaker=Breaker(failures=1, probe=HOUR))
    lane = shop.lane(*[0] * 5)
    await work_off(lane)
    assert [value for value, _ in shop.runs] == [0] * 5
    assert shop.circuit.pause is None


async def test_errors_that_change_pause_the_agent_too(empty: Database) -> None:
    """What is down answers now with a refusal, and now with silence."""
    kinds = [ConnectionRefusedError, TimeoutError]

    def rule(payload: int, _: Metadata) -> Ack:
        raise kinds[payload % 2]

    shop = Shop(empty, rule=rule, max_retries=0, breaker=AFTER_AN_HOUR)
    lane = shop.lane(*range(20))
    async with working_off(lane):
        await paused(shop)
    assert len(await shop.failures()) == 6 == len(shop.runs) - 1


async def test_a_pause_is_told_with_the_event_the_error_and_the_fingerprint(
    empty: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The log masks what it masks elsewhere, and readiness names no text."""
    caplog.set_level(logging.INFO)
    breaker = Breaker(failures=3, probe=AT_ONCE)
    shop = Shop(empty, max_retries=1, breaker=breaker)
    told: list[str | None] = []
    shop.checkpoint.notifications.agent_paused.connect(
        lambda *_, **__: told.append(shop.circuit.complaint())
    )
    shop.checkpoint.notifications.agent_paused.connect(
        lambda *_, **__: setattr(shop, "down", False)
    )
    lane = shop.lane(*range(5))
    await work_off(lane)
    (pause,), (resumed,) = shop.told("agent_paused"), shop.told("agent_resumed")
    assert (pause.metadata.agent, pause.metadata.topic, pause.metadata.offset) == ("shop", TOPIC, 3)
    assert isinstance(pause.error, ConnectionRefusedError)
    assert pause.fingerprint == resumed.fingerprint
    async with empty.engine.connect() as connection:
        stored = await connection.scalars(text("SELECT fingerprint FROM checkpoint_failures"))
        assert {value.hex() for value in stored} == {pause.fingerprint}
    assert told == ["shop is paused: 3 events in a row failed with ConnectionRefusedError"]
    lines = {entry.message.split()[0]: entry for entry in caplog.records}
    assert lines["checkpoint.agent_paused"].levelname == "ERROR"
    assert lines["checkpoint.agent_resumed"].levelname == "WARNING"
    for name in ("checkpoint.agent_paused", "checkpoint.agent_resumed"):
        assert lines[name].__dict__["fingerprint"] == pause.fingerprint


async def test_a_paused_agent_makes_readiness_red(sqlite_url: str) -> None:
    """As long as it is paused, and in a sentence without any text of the error."""
    async with Desk(sqlite_url).opened() as desk:
        shop = Shop(desk.database, max_retries=0, breaker=AFTER_AN_HOUR)
        desk.checkpoint.circuits.append(shop.circuit)
        lane = shop.lane(*range(5))
        async with looked_at(desk, sqlite_url) as health, working(desk, Settled()):
            assert (await health.checks())["agents"] == "ok"
            async with working_off(lane):
                await paused(shop)
            expected = "shop is paused: 3 events in a row failed with ConnectionRefusedError"
            found = await health.checks()
            assert found["agents"] == expected
            assert WELL.items() <= found.items()


@pytest.mark.parametrize(
    "values",
    [
        {"failures": 0},
        {"failures": True},
        {"failures": 1.5},
        {"seconds": 0},
        {"seconds": True},
        {"seconds": "60"},
        {"seconds": float("inf")},
        {"seconds": float("nan")},
        {"probe": 1.0},
        {"probe": None},
    ],
    ids=str,
)
def test_a_breaker_that_cannot_work_is_refused(values: dict[str, Any]) -> None:
    """Where it is written, with what to write instead."""
    with pytest.raises(ConfigurationError, match=r"Breaker\(.*\) cannot work: write "):
        replace(Breaker(), **values)
