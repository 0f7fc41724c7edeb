"""One attempt at one event: decode, call the handler within its time, judge the answer."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeAlias

from app.checkpoint import failures
from app.checkpoint.database import is_outage
from app.checkpoint.events import Event, Metadata
from app.checkpoint.identity import Identifier
from app.checkpoint.notifications import COMPLAINT_INTERVAL, Throttle, complain
from app.checkpoint.options import Options, is_async
from app.checkpoint.outcomes import SKIP, Ack, Skip
from app.checkpoint.timeouts import within
from app.checkpoint.writes import Writes

HandlerFunction: TypeAlias = Callable[..., Coroutine[Any, Any, Ack | Skip | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """An attempt that raised, and what is to be done about it."""

    event: Event
    metadata: Metadata
    error: BaseException
    payload: Any
    """As decoded; None when it was not."""
    first_failed_at: datetime
    last_failed_at: datetime
    retry_at: float | None
    """Monotonic time of the next attempt; None: there is none, the event is a failure."""
    retriable: bool
    """Whether another attempt might go well; False: the event itself is to blame."""

    def due(self, now: float) -> bool:
        """Return whether the event is to be attempted again at this monotonic time."""
        return self.retry_at is not None and self.retry_at <= now

    def delay(self) -> float:
        """Return the seconds until the next attempt, 0 when there is none."""
        return 0.0 if self.retry_at is None else max(0.0, self.retry_at - time.monotonic())


Answer: TypeAlias = Ack | Skip | FailedAttempt


class Handler:
    """The service's own function with the options it was decorated with."""

    def __init__(
        self, function: HandlerFunction, options: Options, *, agent: str, group_id: str
    ) -> None:
        self.function = function
        self.options = options
        self.agent = agent
        self.group_id = group_id
        self._decodes_async = is_async(options.decode)
        self._complaints = Throttle(COMPLAINT_INTERVAL)

    def metadata(self, event: Event, attempt: int) -> Metadata:
        """Return what the handler is told about an event."""
        record = event.record
        return Metadata(
            agent=self.agent,
            topic=record.topic,
            group_id=self.group_id,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            headers=tuple(record.headers),
            timestamp=None if record.timestamp is None else record.timestamp / 1000,
            checksum=None if event.checksum is None else event.checksum.hex(),
            attempt=attempt,
            max_retries=self.options.max_retries,
        )

    async def attempt(
        self, event: Event, earlier: FailedAttempt | None, writes: Writes | None
    ) -> Answer:
        """Run the handler once, and turn whatever its code raises into a `FailedAttempt`.

        This is the one place that catches everything the service's code may raise. Cancellation
        from outside, SystemExit and the like escape: the event stays unacknowledged.

        Raises:
            SQLAlchemyError: the session's database is out; not the event's fault.
        """
        metadata = self.metadata(event, 1 if earlier is None else earlier.metadata.attempt + 1)
        cancels = cancellations()
        payload: Any = None
        # What fails before the handler would fail the same way again, unless decoding does I/O.
        retriable = self._decodes_async
        try:
            payload = await self._decode(event)
            retriable = True
            if writes is None:
                running = self.function(payload, metadata)
            else:
                running = self.function(payload, metadata, writes.session)
            answer = _answer(await within(self.options.timeout, running))
            if writes is not None:
                await writes.handled()
            return answer
        except asyncio.CancelledError as error:
            if cancellations() > cancels:
                raise
            failure: BaseException = error
        except Exception as error:
            if writes is not None and is_outage(error):
                raise
            failure = error
        failed = self.failed(metadata, event, failure, earlier=earlier, payload=payload)
        return failed if retriable else replace(failed, retry_at=None, retriable=False)

    def failed(
        self,
        metadata: Metadata,
        event: Event,
        error: BaseException,
        *,
        earlier: FailedAttempt | None = None,
        payload: Any = None,
    ) -> FailedAttempt:
        """Return what becomes of an attempt that raised: another one, or none."""
        now = datetime.now(UTC)
        most = self.options.max_retries
        is_last = most is not None and metadata.attempt > most
        delay = None if is_last else self._delay(error, metadata)
        return FailedAttempt(
            event=event,
            metadata=metadata,
            error=error,
            payload=payload,
            first_failed_at=now if earlier is None else earlier.first_failed_at,
            last_failed_at=now,
            retry_at=None if delay is None else time.monotonic() + delay,
            retriable=is_last or delay is not None,
        )

    def fingerprint(self, error: BaseException, topic: str) -> bytes:
        """Return 16 bytes that are equal for failures of this agent that one fix mends."""
        module = self.function.__module__
        return failures.fingerprint(error, agent=self.agent, topic=topic, module=module)

    async def name(self, event: Event, identifier: Identifier) -> None:
        """Name an event by the service's own function; what that raises is kept for the attempt.

        A null value is named by its offset whatever the function is.
        """
        identity = self.options.identity
        if isinstance(identity, str) or event.record.value is None:
            return
        cancels = cancellations()
        try:
            payload = await self._decode(event)
            event.identity = identifier.named(event, identity(payload, self.metadata(event, 1)))
        except asyncio.CancelledError as error:
            if cancellations() > cancels:
                raise
            event.error = error
        except Exception as error:  # noqa: BLE001 - the service's function may raise anything
            event.error = error

    def describe(self, failed: FailedAttempt) -> Ack | None:
        """Return what the service says a failed event is about, None when it cannot say."""
        if self.options.describe is None:
            return None
        try:
            described = self.options.describe(failed.payload, failed.metadata)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - it may raise anything
            complain("checkpoint.describe_raised", self._complaints, error, agent=self.agent)
            return None
        return described if isinstance(described, Ack) else None

    async def _decode(self, event: Event) -> Any:
        if event.error is not None:
            raise event.error
        if event.record.value is None:
            return None
        payload = self.options.decode(event.record.value)
        return await within(self.options.timeout, payload) if self._decodes_async else payload

    def _delay(self, error: BaseException, metadata: Metadata) -> float | None:
        options = self.options
        if options.retry_if is not None and isinstance(error, Exception):
            try:
                if not options.retry_if(error, metadata):
                    return None
            except (Exception, asyncio.CancelledError) as raised:  # noqa: BLE001 - the same
                complain("checkpoint.retry_if_raised", self._complaints, raised, agent=self.agent)
        return options.backoff.delay(metadata.attempt)


def _answer(answer: object) -> Ack | Skip:
    if answer is None:
        return SKIP
    if isinstance(answer, Ack | Skip):
        return answer
    msg = f"the handler returned {type(answer).__name__}: return ack(...), skip() or None"
    raise TypeError(msg)


def cancellations() -> int:
    """Return how often somebody asked this task to end.

    A CancelledError while this stays as it was is the handler's own doing.
    """
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
