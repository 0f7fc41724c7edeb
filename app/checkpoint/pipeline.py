"""The story of one event: identify, probe, handle, record; its lane then acknowledges it."""

import time
from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import queries, store
from app.checkpoint.attempts import Answer, FailedAttempt, Handler, cancellations
from app.checkpoint.circuit import Circuit
from app.checkpoint.database import Database, handler_session, is_outage, is_refusal
from app.checkpoint.errors import ProcessDiedError
from app.checkpoint.events import Event, Record
from app.checkpoint.identity import Identifier
from app.checkpoint.lanes import Lane, Progress
from app.checkpoint.outages import Outages
from app.checkpoint.reports import Reports
from app.checkpoint.store import Outcomes
from app.checkpoint.writes import FLUSH_EACH_BATCHES, DeferredWrites, Writes

BATCH_SECONDS = 0.02
"""Time in handlers after which a batch closes: at most so much is handled again after a crash."""


class Pipeline:
    """Settles the events of one agent, batch by batch."""

    def __init__(
        self, handler: Handler, *, database: Database, outages: Outages, reports: Reports
    ) -> None:
        self.handler = handler
        self._database = database
        self._outages = outages
        self.reports = reports
        self.circuit = Circuit(handler, reports)
        identity = handler.options.identity
        self._identifier = Identifier(
            group_id=handler.group_id,
            agent=handler.agent,
            kind=identity if isinstance(identity, str) else "payload",
        )

    async def settle(self, lane: Lane, records: Sequence[Record]) -> Progress:
        """Settle events from the head of a lane, in offset order.

        Whatever is counted as done has its outcome in the database: only then may the lane
        acknowledge it. An event to be retried closes its batch, so that what came before it is not
        held up by the backoff.
        """
        events = await self.identify(records)
        if self.handler.options.transactional:
            return await self._outages.ride_out(lambda: self._settle_in_transaction(lane, events))
        since = time.monotonic()
        known = await self.look_up(events)
        progress = await self._handle(lane, events, known)
        await self.conclude(progress.outcomes, lane.attempts, since)
        return progress

    async def set_aside(self, lane: Lane, record: Record, error: ProcessDiedError) -> Progress:
        """Record an event as a failure without decoding it and without running its handler.

        One that is settled already is passed over. Where the service itself names its events, this
        one is named by its payload: to ask could end the process once more.
        """
        since = time.monotonic()
        event = self._identifier.event(record)
        known = await self.look_up([event])
        outcomes = Outcomes()
        if known.settled(event):
            outcomes.duplicates.append(event)
        else:
            outcomes.failed.append(self._given_up(event, error, error.starts))
        await self.conclude(outcomes, lane.attempts, since)
        return Progress(done=1, outcomes=outcomes)

    async def identify(self, records: Sequence[Record]) -> list[Event]:
        """Return the events that records stand for."""
        events = [self._identifier.event(record) for record in records]
        if callable(self.handler.options.identity):
            for event in events:
                await self.handler.name(event, self._identifier)
        return events

    async def look_up(self, events: Sequence[Event]) -> queries.Known:
        """Return what the database knows of some events, as soon as it can say."""
        return await self._outages.ride_out(lambda: self.probe(events))

    async def probe(self, events: Sequence[Event]) -> queries.Known:
        """Return what the database knows of some events."""
        started = time.perf_counter()
        async with self._database.engine.connect() as connection:
            known = await queries.known(connection, events)
        self.reports.probed(events, time.perf_counter() - started)
        return known

    async def conclude(
        self, outcomes: Outcomes, attempts: dict[int, FailedAttempt], since: float
    ) -> None:
        """Record outcomes, as soon as the database takes them, and tell who listens.

        Args:
            outcomes: what became of some events.
            attempts: the last failed attempt at their offsets.
            since: monotonic time at which they were taken up.
        """
        if outcomes:
            await self._outages.ride_out(lambda: self._record(outcomes))
        self.reports.settled(outcomes, attempts, time.monotonic() - since)

    async def _handle(
        self,
        lane: Lane,
        events: Sequence[Event],
        known: queries.Known,
        writes: Writes | None = None,
    ) -> Progress:
        outcomes = Outcomes()
        failed: set[bytes] = set()
        closes_at = time.monotonic() + BATCH_SECONDS
        for done, event in enumerate(events):
            now = time.monotonic()
            # A twin of what has just failed may settle that, which must be recorded by then.
            if event.identity in failed or lane.stopping.is_set() or now > closes_at:
                return Progress(done=done, outcomes=outcomes, batch_size=max(done, 1))
            if known.settled(event):
                outcomes.duplicates.append(event)
                continue
            earlier = lane.attempts.get(event.record.offset)
            answer: Answer
            if earlier is not None and not earlier.due(now):
                answer = earlier
            elif delay := self.circuit.delay(lane):
                return Progress(done=done, outcomes=outcomes, delay=delay)
            else:
                answer = await self.attempt(event, earlier, writes)
            if not isinstance(answer, FailedAttempt):
                outcomes.succeeded(event, answer, known)
                self.circuit.succeeded += 1
                continue
            if writes is None or not done or not _may_be_spoilt(writes, answer):
                lane.attempts[event.record.offset] = answer
            if writes is not None and answer is not earlier:
                raise _RolledBackError(_rerun(done, answer))
            if answer.retry_at is not None or (lane.stopping.is_set() and cancellations()):
                # A handler that turns its cancellation into an error of its own has not failed.
                return Progress(done=done, outcomes=outcomes, delay=answer.delay())
            outcomes.failed.append(answer)
            failed.add(event.identity)
        return Progress(done=len(events), outcomes=outcomes)

    async def attempt(
        self, event: Event, earlier: FailedAttempt | None, writes: Writes | None
    ) -> Answer:
        """Run the handler once, and tell who listens."""
        started = time.perf_counter()
        running, pause = self.handler.attempt(event, earlier, writes), self.circuit.pause
        answer = await (running if pause is None else self.circuit.probe(pause, running))
        if isinstance(answer, FailedAttempt):
            answer = self.circuit.judge(answer)
        attempt = 1 if earlier is None else earlier.metadata.attempt + 1
        self.reports.attempted(event, answer, attempt, time.perf_counter() - started)
        return answer

    async def _record(self, outcomes: Outcomes) -> None:
        if await store.copy_events(self._database.engine, self.handler, outcomes):
            return
        try:
            await self._write(outcomes)
        except SQLAlchemyError as error:
            if not outcomes.acked or not is_refusal(error):
                raise
            await self._isolate(outcomes)

    async def _write(self, outcomes: Outcomes) -> None:
        async with self._database.engine.begin() as connection:
            await store.record(connection, self.handler, outcomes)

    async def _isolate(self, outcomes: Outcomes) -> None:
        """Record event by event; one whose row the database refuses becomes a failure."""
        for event, ack in list(outcomes.acked):
            try:
                await self._write(Outcomes(acked=[(event, ack)]))
            except SQLAlchemyError as error:
                if not is_refusal(error):
                    raise
                outcomes.failed.append(self._given_up(event, error, 1))
                outcomes.acked.remove((event, ack))
        await self._write(outcomes)

    def _given_up(self, event: Event, error: Exception, attempts: int) -> FailedAttempt:
        """Return the last attempt at an event that is a failure whatever its options say."""
        failed = self.handler.failed(self.handler.metadata(event, attempts), event, error)
        return replace(failed, retry_at=None)

    async def _settle_in_transaction(self, lane: Lane, events: Sequence[Event]) -> Progress:
        """Settle events so that what their handlers write and their rows commit together."""
        outcomes = Outcomes()
        started = time.perf_counter()
        try:
            async with self._database.engine.begin() as connection:
                known = await queries.known(connection, events)
                self.reports.probed(events, time.perf_counter() - started)
                progress = await self._handle_together(connection, lane, events, known)
                outcomes = progress.outcomes
                await store.record(connection, self.handler, outcomes, all_new=True)
        except _RolledBackError as rolled_back:
            return rolled_back.progress
        except SQLAlchemyError as error:
            if not (outcomes.acked or outcomes.skipped) or not is_refusal(error):
                raise
            if await self._recorded_elsewhere(outcomes):
                return Progress(done=0)
            return self._bisect(lane, events, error)
        lane.flush_each = max(0, lane.flush_each - 1)
        self.reports.settled(outcomes, lane.attempts, time.perf_counter() - started)
        return progress

    async def _handle_together(
        self,
        connection: AsyncConnection,
        lane: Lane,
        events: Sequence[Event],
        known: queries.Known,
    ) -> Progress:
        """Run handlers that write in one transaction, and send all that they leave to be sent."""
        async with handler_session(connection) as session:
            together = not lane.flush_each
            writes = DeferredWrites(session, connection) if together else Writes(session)
            try:
                progress = await self._handle(lane, events, known, writes)
                await session.flush()
            except Exception as error:
                if not writes.is_broken or is_outage(error):
                    raise
            if writes.is_broken:
                # Nobody is judged by that: one by one, it shows whose writes were refused.
                lane.flush_each = FLUSH_EACH_BATCHES
                raise _RolledBackError(Progress(done=0))
        return progress

    async def _recorded_elsewhere(self, outcomes: Outcomes) -> bool:
        """Return whether another worker was first at an event: its effects must not stay twice."""
        acked = [event for event, _ in outcomes.acked]
        async with self._database.engine.connect() as connection:
            return bool((await queries.known(connection, acked)).recorded)

    def _bisect(self, lane: Lane, events: Sequence[Event], error: SQLAlchemyError) -> Progress:
        """Find the event whose writes the database refused only when they were to be committed."""
        if len(events) > 1:
            return Progress(done=0, batch_size=len(events) // 2)
        offset = events[0].record.offset
        earlier = lane.attempts.get(offset)
        metadata = self.handler.metadata(events[0], earlier.metadata.attempt + 1 if earlier else 1)
        failed = self.handler.failed(metadata, events[0], error, earlier=earlier)
        lane.attempts[offset] = failed
        return Progress(done=0, delay=failed.delay())


class _RolledBackError(Exception):
    """Ends a transaction whose effects must not stay."""

    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress


def _may_be_spoilt(writes: Writes, failed: FailedAttempt) -> bool:
    """Return whether an attempt may have failed for what earlier events have written."""
    return writes.is_broken or isinstance(failed.error, SQLAlchemyError)


def _rerun(done: int, failed: FailedAttempt) -> Progress:
    """Return how to go on after a rollback: what succeeded before the failure first, on its own."""
    if done:
        return Progress(done=0, batch_size=done)
    return Progress(done=0, delay=failed.delay())
