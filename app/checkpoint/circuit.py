"""An outage is not poison: while every event fails alike, one at a time is tried."""

import time
from collections import deque
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import NamedTuple

from app.checkpoint import failures
from app.checkpoint.attempts import Answer, FailedAttempt, Handler
from app.checkpoint.breaker import Breaker
from app.checkpoint.lanes import Lane
from app.checkpoint.reports import Reports

LOOK_SECONDS = 60.0
"""A lane that waits for the probe of another one looks again after so long; it is woken earlier."""


class _GivenUp(NamedTuple):
    """An event that became a failure."""

    fingerprint: bytes
    identity: bytes
    at: float
    """Monotonic time."""
    succeeded: int
    """How many events had succeeded by then."""


@dataclass(slots=True, kw_only=True)
class Pause:
    """That the events of an agent wait, and for what."""

    failed: FailedAttempt
    """The first one that was not given up."""
    fingerprint: str
    """Of the failures before it, in hexadecimal."""
    since: float
    """Monotonic time."""
    probe_at: float
    """Monotonic time from which on one event is tried."""
    probes: int = 0
    """How many have failed."""
    probing: bool = False


class Circuit:
    """Says whether the events of one agent may be handled; one for all its lanes in a process."""

    def __init__(self, handler: Handler, reports: Reports) -> None:
        self.pause: Pause | None = None
        """Set while the agent is paused."""
        self.succeeded = 0
        """Events whose handler has returned."""
        self._handler = handler
        self._reports = reports
        # Who retries for ever never gives up, and so never opens the circuit.
        self._breaker = handler.options.breaker or Breaker()
        self._is_off = handler.options.breaker is None
        self._attempts = 2 * ((handler.options.max_retries or 0) + 1)
        # With more of other kinds among them, they are not failures of one kind in a row.
        self._given_up: deque[_GivenUp] = deque(maxlen=2 * self._breaker.failures)
        self._waiting: set[Lane] = set()

    def complaint(self) -> str | None:
        """Return why the agent is paused, without any secret; None: it is not."""
        if self.pause is None:
            return None
        kind = failures.error_class(self.pause.failed.error)
        count = self._breaker.failures
        return f"{self._handler.agent} is paused: {count} events in a row failed with {kind}"

    def delay(self, lane: Lane) -> float:
        """Return the seconds for which a lane may not begin an event; 0: it may begin one now."""
        if self.pause is None:
            return 0.0
        until = LOOK_SECONDS if self.pause.probing else self.pause.probe_at - time.monotonic()
        if until > 0:
            self._waiting.add(lane)
        return max(0.0, until)

    async def probe(self, pause: Pause, attempt: Awaitable[Answer]) -> Answer:
        """Return what comes of the one attempt that is made while the agent is paused.

        Whatever ends it, the lanes that wait look again: one of them makes the next probe.
        """
        pause.probing = True
        try:
            answer = await attempt
        finally:
            pause.probing = False
            self._wake()
        if not isinstance(answer, FailedAttempt):
            self._close(pause)
        elif answer.retriable:
            pause.probes += 1
            pause.probe_at = time.monotonic() + self._breaker.probe.delay(pause.probes + 1)
        return answer

    def judge(self, failed: FailedAttempt) -> FailedAttempt:
        """Return an attempt that raised as it is, or to be made again with the next probe.

        What the event itself is to blame for is its failure, also while the agent is paused.
        """
        if self._is_off or not failed.retriable:
            return failed
        if self.pause is None and failed.retry_at is None:
            self._give_up(failed)
        if self.pause is None or failed.metadata.attempt >= self._attempts:
            return failed
        return replace(failed, retry_at=self.pause.probe_at)

    def _give_up(self, failed: FailedAttempt) -> None:
        """Count an event that is about to become a failure, unless it would be one too many."""
        now, most = time.monotonic(), self._breaker.failures
        fingerprint = self._handler.fingerprint(failed.error, failed.metadata.topic)
        identity = failed.event.identity
        others = [one for one in self._given_up if one.identity != identity]
        alike = [one for one in others if one.fingerprint == fingerprint]
        recent = [one for one in alike if now - one.at < self._breaker.seconds][-most:]
        if len(recent) == most and self.succeeded - recent[0].succeeded < most:
            self._open(failed, fingerprint.hex(), now)
        elif len(others) == len(self._given_up):
            self._given_up.append(_GivenUp(fingerprint, identity, now, self.succeeded))

    def _open(self, failed: FailedAttempt, fingerprint: str, now: float) -> None:
        wait = self._breaker.probe.delay(1)
        self.pause = Pause(failed=failed, fingerprint=fingerprint, since=now, probe_at=now + wait)
        self._given_up.clear()
        self._reports.paused(failed, wait, fingerprint)

    def _close(self, pause: Pause) -> None:
        self.pause = None
        self._reports.resumed(pause.failed, time.monotonic() - pause.since, pause.fingerprint)

    def _wake(self) -> None:
        for lane in self._waiting:
            lane.wake()
        self._waiting.clear()
