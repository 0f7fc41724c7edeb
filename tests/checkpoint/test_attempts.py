"""Whatever the service's code raises, its event is settled or stays unacknowledged, never lost."""

import asyncio
import functools
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from faust.types import TP
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Checkpoint, Metadata, ack, skip
from app.checkpoint.database import Database
from app.checkpoint.events import make_record
from app.checkpoint.lanes import Lanes
from app.checkpoint.models import EventRow, FailureRow, Model
from app.checkpoint.testing import database, process
from tests.polling import eventually_async

checkpoint = Checkpoint("sqlite:///:memory:")
HOUR = 3600.0

Script = Callable[[], Awaitable[Any]]


def agent(script: Script, **options: Any) -> Any:
    """Return an agent whose handler acts out a script, and then acknowledges."""

    async def handle(_: Any, __: Metadata) -> Ack:
        await script()
        return ack("order", 0)

    return checkpoint(**{"max_retries": 1, **options})(handle)


@pytest.mark.parametrize("answer", [None, skip()])
async def test_an_answer_of_nothing_skips(answer: Any) -> None:
    """None and skip() mean the same."""

    async def handle(_: Any, __: Metadata) -> Any:
        return answer

    assert (await process(checkpoint()(handle), b"{}")).outcome == "skipped"


@pytest.mark.parametrize("answer", [True, "order", 0, {}, ack, Ack])
async def test_any_other_answer_is_an_error_like_any_other(answer: Any) -> None:
    """A forgotten call of `ack` must not count as handled."""

    async def handle(_: Any, __: Metadata) -> Any:
        return answer

    result = await process(checkpoint(max_retries=1)(handle), b"{}")
    assert (result.outcome, result.attempts, type(result.error)) == ("failed", 2, TypeError)
    assert "return ack(...), skip() or None" in str(result.error)


class OutsideError(Exception):
    """An error of a module that is not built in."""


async def recurse() -> None:
    """Never come to an end."""
    await recurse()


async def exhaust() -> None:
    """Ask for more memory than there is."""
    bytearray(sys.maxsize)


async def await_a_cancelled_task() -> None:
    """Be cancelled by a task that the handler has cancelled itself."""
    task = asyncio.create_task(asyncio.sleep(HOUR))
    task.cancel()
    await task


async def raise_cancelled() -> None:
    """Raise what a cancelled future would."""
    raise asyncio.CancelledError


async def stop() -> None:
    """Raise what ends a generator."""
    raise StopIteration


async def fail_in_groups() -> None:
    """Have two tasks fail at once."""
    async with asyncio.TaskGroup() as group:
        group.create_task(recurse())
        group.create_task(exhaust())


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (recurse, RecursionError),
        (exhaust, MemoryError),
        (await_a_cancelled_task, asyncio.CancelledError),
        (raise_cancelled, asyncio.CancelledError),
        (stop, RuntimeError),
        (fail_in_groups, ExceptionGroup),
    ],
)
async def test_what_a_handler_raises_is_retried_and_then_a_failure(
    script: Script, error: type[BaseException]
) -> None:
    """Also what is no Exception, when it was not the worker that cancelled."""
    result = await process(agent(script), b"{}")
    assert (result.outcome, result.attempts, type(result.error)) == ("failed", 2, error)


async def test_a_cancellation_count_that_a_library_left_behind_means_nothing() -> None:
    """Old timeouts cancel their task and never take it back; what follows is the handler's own."""

    async def old_timeout() -> None:
        task = asyncio.current_task()
        assert task is not None
        if not task.cancelling():
            task.cancel()
            try:
                await asyncio.sleep(HOUR)
            except asyncio.CancelledError as error:
                raise TimeoutError from error
        await await_a_cancelled_task()

    result = await process(agent(old_timeout, max_retries=3), b"{}")
    assert (result.outcome, result.attempts) == ("failed", 4)


@pytest.mark.parametrize("error", [GeneratorExit, SystemExit, KeyboardInterrupt])
@pytest.mark.parametrize("waits", [False, True])
def test_what_ends_a_process_escapes_and_nothing_is_recorded(
    error: type[BaseException], *, waits: bool
) -> None:
    """Asyncio ends its loop on these, and the event is delivered to the next worker."""

    async def end() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    settled: list[str] = []
    with pytest.raises(error):
        asyncio.run(_one_event(end, settled))
    assert settled == []


async def _one_event(script: Script, settled: list[str]) -> None:
    settled.append((await process(agent(script), b"{}")).outcome)


class Worker:
    """The lanes of a worker, with a database of their own and one event in hand."""

    def __init__(self, tables: Database, handler: Any, grace: float = 0.01) -> None:
        self.crashes: list[BaseException] = []
        self.tables = tables
        self._pipeline = handler.pipeline(agent="agent", group_id="service")
        self.lanes = Lanes(grace=grace, on_crash=self.crashes.append)
        self.lanes.add("orders", self._pipeline.settle)

    def deliver(self, value: bytes, offset: int = 0) -> None:
        """Deliver one event."""
        record = make_record(value, topic="orders", offset=offset)
        self.lanes.deliver(TP("orders", 0), [record])

    @property
    def position(self) -> int | None:
        """Return what may be committed."""
        return self.lanes.position(TP("orders", 0))

    async def rows(self) -> list[int]:
        """Return how many events and failures there are."""
        async with self.tables.engine.connect() as connection:
            return [
                len((await connection.execute(select(row.id))).all())
                for row in (EventRow, FailureRow)
            ]


async def worker(script: Script, *, transactional: bool = False) -> Worker:
    """Return a worker whose one agent acts out a script for each event."""
    own = Checkpoint("sqlite:///:memory:", backoff=Backoff(min=0, max=0))
    async with own.database.engine.begin() as connection:
        await connection.run_sync(Model.metadata.create_all)

    async def handle(_: Any, metadata: Metadata, *session: AsyncSession) -> Ack:
        assert len(session) == transactional
        await script()
        return ack(metadata.offset, 0)

    return Worker(own.database, own(max_retries=0, transactional=transactional)(handle))


class Interrupted:
    """A script that waits until it is cancelled, and then ends in some way."""

    def __init__(self, end: Script | None = None) -> None:
        self.waits = asyncio.Event()
        self._end = end

    async def __call__(self) -> None:
        """Wait for ever."""
        self.waits.set()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            if self._end is None:
                raise
            await self._end()


async def become_unavailable() -> None:
    """Translate a cancellation, as many client libraries do."""
    raise ConnectionError


async def go_on() -> None:
    """Pass over a cancellation."""


@pytest.mark.parametrize("end", [None, raise_cancelled, become_unavailable])
@pytest.mark.parametrize("transactional", [False, True])
async def test_an_event_whose_handler_is_cancelled_stays_unacknowledged(
    end: Script | None, *, transactional: bool
) -> None:
    """Past the grace time it is left for the next worker, and is no failure of the event."""
    script = Interrupted(end)
    running = await worker(script, transactional=transactional)
    running.deliver(b"{}")
    await script.waits.wait()
    await running.lanes.drain()
    assert (running.position, await running.rows(), running.crashes) == (None, [0, 0], [])
    await running.tables.close()


async def test_a_handler_that_passes_over_its_cancellation_is_recorded() -> None:
    """What it has done is done."""
    script = Interrupted(go_on)
    running = await worker(script)
    running.deliver(b"{}")
    await script.waits.wait()
    await running.lanes.drain()
    assert (running.position, await running.rows(), running.crashes) == (1, [1, 0], [])
    await running.tables.close()


async def test_a_handler_that_cancels_its_own_task_ends_the_worker_aloud() -> None:
    """A partition must not stand still in silence."""

    async def cancel_self() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    running = await worker(cancel_self)
    running.deliver(b"{}")

    async def is_reported() -> None:
        assert [type(error) for error in running.crashes] == [RuntimeError]

    await eventually_async(is_reported)
    assert (running.position, await running.rows()) == (None, [0, 0])
    await running.lanes.drain()
    await running.tables.close()


def refuse(_: bytes) -> Any:
    """Decode nothing."""
    raise LookupError


def refuse_deeply(value: bytes) -> Any:
    """Decode until the stack ends."""
    return refuse_deeply(value)


def refuse_as_if_cancelled(_: bytes) -> Any:
    """Decode with what a cancelled future raises."""
    raise asyncio.CancelledError


async def refuse_later(_: bytes) -> Any:
    """Fail to ask somebody how to decode."""
    await asyncio.sleep(0)
    raise LookupError


def in_words(payload: Any, _: Metadata) -> str:
    """Name an event by its payload."""
    return str(payload)


class Registry:
    """A decoder that is an object, and awaited."""

    def __init__(self, fails: int = 0) -> None:
        self.calls = 0
        self._fails = fails

    async def __call__(self, value: bytes) -> Any:
        """Answer after some failures."""
        self.calls += 1
        await asyncio.sleep(0)
        if self.calls <= self._fails:
            raise ConnectionError
        return json.loads(value)


@pytest.mark.parametrize(
    ("decode", "value", "error", "attempts"),
    [
        (refuse, b"{}", LookupError, 1),
        (refuse_deeply, b"{}", RecursionError, 1),
        (refuse_as_if_cancelled, b"{}", asyncio.CancelledError, 1),
        (json.loads, b"[" * 100_000, RecursionError, 1),
        (json.loads, b"\xff", UnicodeDecodeError, 1),
        (refuse_later, b"{}", LookupError, 3),
        (functools.partial(refuse_later), b"{}", LookupError, 3),
        (Registry(fails=9), b"{}", ConnectionError, 3),
    ],
)
async def test_what_cannot_be_decoded_is_a_failure(
    decode: Any, value: bytes, error: type[BaseException], attempts: int
) -> None:
    """At once, unless the decoder waits for something that may come back."""
    seen: list[Any] = []

    async def handle(payload: Any, _: Metadata) -> None:
        seen.append(payload)

    handler = checkpoint(decode=decode, max_retries=2)(handle)
    result = await process(handler, value)
    assert (result.outcome, result.attempts, type(result.error)) == ("failed", attempts, error)
    assert seen == []


async def test_the_default_decoder_takes_json() -> None:
    """And refuses all else."""
    seen: list[Any] = []

    async def handle(payload: Any, _: Metadata) -> None:
        seen.append(payload)

    handler = checkpoint()(handle)
    assert (await process(handler, b'{"a": [1, null]}')).outcome == "skipped"
    assert [(await process(handler, bad)).attempts for bad in (b"", b"NaN", b"{")] == [1, 1, 1]
    assert seen == [{"a": [1, None]}]


@pytest.mark.parametrize("identity", ["payload", in_words])
async def test_an_async_decoder_is_asked_again(identity: Any) -> None:
    """A schema registry that is away for a moment costs a retry, no event."""
    seen: list[Any] = []

    async def handle(payload: Any, metadata: Metadata) -> Ack:
        seen.append((payload, metadata.attempt))
        return ack("order", 0)

    registry = Registry(fails=2)
    handler = checkpoint(decode=registry, identity=identity, max_retries=2)(handle)
    assert (await process(handler, b"[1]")).outcome == "acknowledged"
    assert seen == [([1], 3)]


async def test_an_async_decoder_has_as_long_as_an_attempt() -> None:
    """One that hangs must not hold its partition for ever, nor where it is asked for a name."""

    async def hangs(_: bytes) -> Any:
        await asyncio.get_running_loop().create_future()

    async def handle(_: Any, __: Metadata) -> None:
        """Handle nothing."""

    for identity in ("payload", in_words):
        handler = checkpoint(decode=hangs, timeout=0.001, identity=identity, max_retries=1)(handle)
        result = await process(handler, b"{}")
        assert (result.attempts, type(result.error)) == (2, TimeoutError)


async def test_an_async_decoder_that_is_cancelled_by_itself_fails_its_event() -> None:
    """Asked for a name or for the payload."""

    async def cancelled(_: bytes) -> Any:
        await await_a_cancelled_task()

    async def handle(_: Any, __: Metadata) -> None:
        """Handle nothing."""

    for identity in ("payload", in_words):
        handler = checkpoint(decode=cancelled, identity=identity, max_retries=1)(handle)
        result = await process(handler, b"{}")
        assert (result.attempts, type(result.error)) == (2, asyncio.CancelledError)


async def test_a_tombstone_is_not_decoded() -> None:
    """The handler is given None."""
    seen: list[Any] = []

    async def handle(payload: Any, _: Metadata) -> None:
        seen.append(payload)

    assert (await process(checkpoint(decode=refuse)(handle), None)).outcome == "skipped"
    assert seen == [None]


@pytest.mark.parametrize("kind", [LookupError, asyncio.CancelledError])
async def test_an_identity_that_raises_fails_its_event_without_an_attempt(
    kind: type[BaseException],
) -> None:
    """Its twin in another delivery is known all the same."""
    seen: list[Any] = []

    def nameless(_: Any, __: Metadata) -> str:
        raise kind

    async def handle(payload: Any, _: Metadata) -> None:
        seen.append(payload)

    result = await process(checkpoint(identity=nameless)(handle), b"{}")
    assert (result.outcome, result.attempts, type(result.error)) == ("failed", 1, kind)
    assert seen == []


async def test_a_handler_is_told_where_its_event_comes_from() -> None:
    """All that the message carried, and which attempt this is."""
    seen: list[Metadata] = []

    async def handle(_: Any, metadata: Metadata) -> None:
        seen.append(metadata)
        assert metadata.attempt > 1

    headers = (("trace", b"\xff"), ("trace", None))
    await process(
        checkpoint(max_retries=4)(handle),
        b"{}",
        topic="orders",
        partition=3,
        offset=2**40,
        key=b"\x00\xff",
        headers=headers,
        timestamp=1767323045.123,
    )
    assert [metadata.attempt for metadata in seen] == [1, 2]
    first = seen[0]
    assert (first.topic, first.partition, first.offset) == ("orders", 3, 2**40)
    assert (first.key, first.headers, first.timestamp) == (b"\x00\xff", headers, 1767323045.123)
    assert first.max_retries == 4
    assert first.agent.endswith(".handle")


def describe_nothing(_: Any, __: Metadata) -> Ack:
    """Fail to describe an event that failed."""
    raise LookupError


def describe_too_late(_: Any, __: Metadata) -> Ack:
    """Describe with what a cancelled future raises."""
    raise asyncio.CancelledError


def describe_in_words(_: Any, __: Metadata) -> Any:
    """Return what is no Ack."""
    return "order"


def describe_fully(_: Any, metadata: Metadata) -> Ack:
    """Tell which event it was."""
    return ack(f"order-{metadata.offset}", 0, "order_placed", metadata.attempt)


@pytest.mark.parametrize(
    ("describe", "row", "complaints"),
    [
        (describe_fully, ("order-13", "order_placed", "2"), 0),
        (describe_nothing, (None, None, None), 1),
        (describe_too_late, (None, None, None), 1),
        (describe_in_words, (None, None, None), 0),
    ],
)
async def test_a_failure_is_described_if_the_service_can(
    describe: Any,
    row: tuple[str | None, ...],
    complaints: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What cannot be described is recorded all the same."""
    columns = FailureRow.entity_id, FailureRow.event_type, FailureRow.event_version
    async with database() as into:
        await process(agent(raise_cancelled, describe=describe), b"{}", into=into)
        async with into.engine.connect() as connection:
            assert (await connection.execute(select(*columns))).one() == row
    told = [entry.message for entry in caplog.records]
    assert told.count("checkpoint.describe_raised") == complaints
