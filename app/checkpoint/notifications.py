"""What listeners and the log are told; free of cost while nobody listens."""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mode.signals import SyncSignal

from app.checkpoint.errors import ConfigurationError
from app.checkpoint.events import Metadata

logger = logging.getLogger("app.checkpoint")

COMPLAINT_INTERVAL = 1.0
"""Seconds between two log lines about code of the service that raised where it must not."""
CONTROLS = {
    code: f"\\x{code:02x}"
    for code in (*range(32), *range(127, 160), *range(0x2028, 0x202F), *range(0x2066, 0x206A))
}
"""What could end a line of the log, move a terminal's cursor, or turn round how a text reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """What happened to one event."""

    metadata: Metadata
    """Agent, group, topic, key, partition, offset, attempt and checksum of the event."""
    duration: float
    """Seconds that it took."""
    error: BaseException | None = None
    """What the handler raised, where it did."""
    fingerprint: str | None = None
    """Of the failures for which an agent pauses, in hexadecimal."""


class Signal(SyncSignal[Any]):
    """A signal that outlives a listener that raises."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._complaints = Throttle(COMPLAINT_INTERVAL)

    def connect(self, fun: Callable[..., Any] | None = None, **kwargs: Any) -> Callable[..., Any]:
        """Have a plain function called with each notification.

        Raises:
            ConfigurationError: a coroutine function, which nobody would await.
        """
        if inspect.iscoroutinefunction(fun):
            msg = f"{self.name} cannot await {fun.__qualname__}: connect a plain function"
            raise ConfigurationError(msg)
        return super().connect(fun, **kwargs)

    @property
    def listened(self) -> bool:
        """Whether anyone listens."""
        return bool(self._receivers)

    def notify(self, notification: Notification) -> None:
        """Call each listener with the notification; one that raises is logged."""
        for receiver in self.iter_receivers(None):
            try:
                receiver(notification, signal=self)
            # A listener is not awaited, so no cancellation from outside can show up in it.
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - the service's own
                complain("checkpoint.listener_raised", self._complaints, error, signal=self.name)


class Notifications:
    """One signal for each thing that can happen to an event, or to an agent for its sake.

    Connect a function of one `Notification`, which also takes `**kwargs`:
    `checkpoint.notifications.event_failed.connect(page_somebody)`.
    """

    def __init__(self) -> None:
        self.around_consume = Signal(name="around_consume")
        """An event is settled; the duration is that of its batch so far."""
        self.event_already_exists_check = Signal(name="event_already_exists_check")
        """The database was asked about an event; the duration is that of its batch's question."""
        self.event_action = Signal(name="event_action")
        """The handler ran, well or not."""
        self.event_acknowledged = Signal(name="event_acknowledged")
        """The event row is committed; the duration is that of its batch's transaction."""
        self.event_skipped = Signal(name="event_skipped")
        self.event_already_consumed = Signal(name="event_already_consumed")
        self.event_retried = Signal(name="event_retried")
        """An attempt failed and another one follows; the duration is the wait before it."""
        self.event_failed = Signal(name="event_failed")
        """The failure row is committed."""
        self.failure_retried = Signal(name="failure_retried")
        """Somebody had a failed event handled again; with the error, if it failed again."""
        self.agent_paused = Signal(name="agent_paused")
        """The event, and all after it, wait for a probe; the duration is the wait before it."""
        self.agent_resumed = Signal(name="agent_resumed")
        """A probe went well; the event and the error are those for which the agent was paused."""


def log(level: int, event: str, **fields: object) -> None:
    """Log a stable dotted event name with its fields, in the text and as attributes."""
    logger.log(level, "%s %s", event, one_line(fields), extra=fields, stacklevel=2)


def one_line(fields: Mapping[str, object]) -> str:
    """Return fields as a text that is one line of a log, whatever they hold."""
    pairs = " ".join(f"{name}={value}" for name, value in fields.items())
    return pairs.translate(CONTROLS)


class Throttle:
    """Lets one log line through per interval and counts what it holds back."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._next = 0.0
        self._held = 0

    def passes(self, count: int) -> int | None:
        """Return how many happened since the last line that passed, None when this one must not."""
        self._held += count
        now = time.monotonic()
        if now < self._next:
            return None
        self._next, held, self._held = now + self._seconds, self._held, 0
        return held


def complain(event: str, throttle: Throttle, error: BaseException, **fields: object) -> None:
    """Log an error that the service's code raised where it must not, with its traceback."""
    count = throttle.passes(1)
    if count is not None:
        logger.error(event, exc_info=error, extra=fields | {"times": count})
