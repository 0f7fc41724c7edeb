"""What the pipeline of one agent tells the listeners and the log."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeAlias

from app.checkpoint import failures
from app.checkpoint.attempts import FailedAttempt, Handler
from app.checkpoint.events import Event
from app.checkpoint.notifications import Notification, Notifications, Signal, Throttle, log
from app.checkpoint.outcomes import Ack, Skip
from app.checkpoint.store import Outcomes

PROGRESS_INTERVAL = 30.0
"""Seconds between two log lines that count what was settled."""
FAILURE_INTERVAL = 1.0
"""Seconds between two log lines about retries, and between two about failures."""
TEXT_LIMIT = 200
"""Characters of an error message in a log line, from its first line: databases show rows below."""

Redact: TypeAlias = Callable[[str, bytes | None], str]
"""Returns what the log may say of an error's text, given the value that the handler ran with."""


def unredacted(text: str, _: bytes | None) -> str:
    """Return the text as it is."""
    return text


class Reports:
    """Log lines are bounded in time, however many events fail; signals are sent for each."""

    def __init__(
        self, handler: Handler, notifications: Notifications, *, redact: Redact = unredacted
    ) -> None:
        self._handler = handler
        self._signals = notifications
        self._redact = redact
        self._progress = Throttle(PROGRESS_INTERVAL)
        self._retries = Throttle(FAILURE_INTERVAL)
        self._failures = Throttle(FAILURE_INTERVAL)
        self._counts: Counter[str] = Counter()

    def probed(self, events: Iterable[Event], duration: float) -> None:
        """Tell that the database was asked what it knows of some events."""
        self._notify(self._signals.event_already_exists_check, events, duration)

    def attempted(
        self, event: Event, answer: Ack | Skip | FailedAttempt, attempt: int, duration: float
    ) -> None:
        """Tell that the handler ran."""
        error = answer.error if isinstance(answer, FailedAttempt) else None
        signal = self._signals.event_action
        self._notify(signal, [event], duration, attempt=attempt, error=error)
        if isinstance(answer, FailedAttempt) and answer.retry_at is not None:
            signal = self._signals.event_retried
            self._notify(signal, [event], answer.delay(), attempt=attempt, error=error)
            self._log("checkpoint.event_retried", self._retries, [answer])

    def settled(
        self, outcomes: Outcomes, attempts: dict[int, FailedAttempt], duration: float
    ) -> None:
        """Tell what became of the events of a batch, now that it is committed."""
        counts = {
            "acknowledged": len(outcomes.acked),
            "skipped": len(outcomes.skipped),
            "duplicates": len(outcomes.duplicates),
            "failed": len(outcomes.failed),
        }
        self._counts.update(counts)
        self._log_progress(sum(counts.values()))
        self._log("checkpoint.event_failed", self._failures, outcomes.failed)
        signals = self._signals
        acked = [event for event, _ in outcomes.acked]
        for signal, events in (
            (signals.event_already_consumed, outcomes.duplicates),
            (signals.event_acknowledged, acked),
            (signals.event_skipped, outcomes.skipped),
        ):
            self._notify_attempts(signal, events, attempts, duration)
            self._notify_attempts(signals.around_consume, events, attempts, duration)
        for failed in outcomes.failed:
            for signal in (signals.event_failed, signals.around_consume):
                attempt = failed.metadata.attempt
                self._notify(signal, [failed.event], duration, attempt=attempt, error=failed.error)

    def retried(
        self, event: Event, outcome: str, error: BaseException | None, seconds: float
    ) -> None:
        """Tell what came of a failed event that somebody had handled again."""
        self._notify(self._signals.failure_retried, [event], seconds, error=error)
        record = event.record
        log(
            logging.INFO if error is None else logging.WARNING,
            "checkpoint.failure_retried",
            agent=self._handler.agent,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            outcome=outcome,
            error=None if error is None else self._told(error, event),
        )

    def paused(self, failed: FailedAttempt, seconds: float, fingerprint: str) -> None:
        """Tell that the agent is paused, and that its first probe follows after so long."""
        signal = self._signals.agent_paused
        self._tell_pause(signal, failed, seconds, fingerprint, level=logging.ERROR)

    def resumed(self, failed: FailedAttempt, seconds: float, fingerprint: str) -> None:
        """Tell that the agent goes on after so long."""
        signal = self._signals.agent_resumed
        self._tell_pause(signal, failed, seconds, fingerprint, level=logging.WARNING)

    def _tell_pause(
        self, signal: Signal, failed: FailedAttempt, seconds: float, fingerprint: str, *, level: int
    ) -> None:
        metadata, error = failed.metadata, failed.error
        if signal.listened:
            told = Notification(
                metadata=metadata, duration=seconds, error=error, fingerprint=fingerprint
            )
            signal.notify(told)
        log(
            level,
            f"checkpoint.{signal.name}",
            agent=metadata.agent,
            topic=metadata.topic,
            partition=metadata.partition,
            offset=metadata.offset,
            fingerprint=fingerprint,
            seconds=round(seconds, 3),
            error=self._told(error, failed.event),
        )

    def _notify_attempts(
        self,
        signal: Signal,
        events: Iterable[Event],
        attempts: dict[int, FailedAttempt],
        duration: float,
    ) -> None:
        if not signal.listened:
            return
        for event in events:
            earlier = attempts.get(event.record.offset)
            attempt = 1 if earlier is None else earlier.metadata.attempt + 1
            self._notify(signal, [event], duration, attempt=attempt)

    def _notify(
        self,
        signal: Signal,
        events: Iterable[Event],
        duration: float,
        *,
        attempt: int = 1,
        error: BaseException | None = None,
    ) -> None:
        if not signal.listened:
            return
        for event in events:
            metadata = self._handler.metadata(event, attempt)
            signal.notify(Notification(metadata=metadata, duration=duration, error=error))

    def _log(self, name: str, throttle: Throttle, failed: list[FailedAttempt]) -> None:
        count = throttle.passes(len(failed)) if failed else None
        if count is None:
            return
        last = failed[-1]
        metadata = last.metadata
        log(
            logging.WARNING if last.retry_at is not None else logging.ERROR,
            name,
            agent=metadata.agent,
            topic=metadata.topic,
            partition=metadata.partition,
            offset=metadata.offset,
            attempt=metadata.attempt,
            max_retries=metadata.max_retries,
            wait_seconds=round(last.delay(), 3),
            error=self._told(last.error, last.event),
            events=count,
        )

    def _log_progress(self, settled: int) -> None:
        count = self._progress.passes(settled) if settled else None
        if count is None:
            return
        log(logging.INFO, "checkpoint.settled", agent=self._handler.agent, **self._counts)
        self._counts.clear()

    def _told(self, error: BaseException, event: Event) -> str:
        # Cut afterwards: half a secret would not be found.
        text = self._redact(failures.error_message(error), event.record.value)
        message = text.partition("\n")[0]
        return f"{failures.error_class(error)}: {message[:TEXT_LIMIT]}"
