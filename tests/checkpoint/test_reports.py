"""The log says what a worker does, in a bounded number of lines."""

import logging
from typing import Any

import pytest

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from app.checkpoint.attempts import Handler
from app.checkpoint.events import Event, make_record
from app.checkpoint.notifications import Notifications
from app.checkpoint.reports import TEXT_LIMIT, Reports
from app.checkpoint.store import Outcomes
from app.checkpoint.testing import database, process

checkpoint = Checkpoint("sqlite:///:memory:", max_retries=2)


async def fails(_: Any, __: Metadata) -> Ack:
    """Fail with a long text of several lines."""
    raise LookupError("one\rtwo" + 1000 * "x" + "\nDETAIL: the row is (secret)")


async def succeeds(_: Any, metadata: Metadata) -> Ack:
    """Acknowledge."""
    return ack(metadata.offset, 0)


def lines(caplog: pytest.LogCaptureFixture, name: str) -> list[logging.LogRecord]:
    """Return the log lines of one event name."""
    return [entry for entry in caplog.records if entry.message.split()[0] == name]


async def test_a_failing_event_is_told_once_retried_and_once_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Stable names, fields as attributes, one line each, and no traceback."""
    caplog.set_level(logging.INFO)
    await process(checkpoint()(fails), b"{}", topic="orders", partition=1, offset=7)
    retried, *_ = lines(caplog, "checkpoint.event_retried")
    (failed,) = lines(caplog, "checkpoint.event_failed")
    assert (retried.levelname, failed.levelname) == ("WARNING", "ERROR")
    for entry, attempt in (retried, 1), (failed, 3):
        fields = entry.__dict__
        assert (fields["topic"], fields["partition"], fields["offset"]) == ("orders", 1, 7)
        assert (fields["attempt"], fields["max_retries"]) == (attempt, 2)
        assert fields["agent"].endswith(".fails")
        assert fields["error"] == "LookupError: one\rtwo".ljust(
            len("LookupError: ") + TEXT_LIMIT, "x"
        )
        assert len(entry.message.splitlines()) == 1
        assert entry.exc_info is None


async def test_the_log_is_told_what_may_be_told(caplog: pytest.LogCaptureFixture) -> None:
    """It is decided with all of the text and the value in hand, and cut afterwards."""
    asked: list[tuple[str, bytes | None]] = []

    def redact(text: str, value: bytes | None) -> str:
        asked.append((text, value))
        return "hidden"

    secretive = Checkpoint("sqlite:///:memory:", max_retries=0)
    secretive.redact = redact
    await process(secretive()(fails), b'{"a": 1}')
    (failed,) = lines(caplog, "checkpoint.event_failed")
    assert failed.__dict__["error"] == "LookupError: hidden"
    assert "one" not in failed.message
    [(text, value)] = asked
    assert text.endswith("DETAIL: the row is (secret)")
    assert value == b'{"a": 1}'


class Agent:
    """An agent's reports, and events to report on."""

    def __init__(self) -> None:
        decorated = checkpoint()(succeeds)
        self.handler = Handler(succeeds, decorated.options, agent="agent", group_id="group")
        self.reports = Reports(self.handler, Notifications())

    def fail(self, offset: int, *, attempt: int) -> None:
        """Report an attempt that failed, and the failure if it was the last."""
        event = Event(make_record(b"", topic="orders", offset=offset), identity=b"", checksum=None)
        metadata = self.handler.metadata(event, attempt)
        failed = self.handler.failed(metadata, event, LookupError(offset))
        self.reports.attempted(event, failed, attempt, 0.0)
        if failed.retry_at is None:
            self.reports.settled(Outcomes(failed=[failed]), {}, 0.0)

    def settle(self, events: int) -> None:
        """Report a batch of duplicates."""
        event = Event(make_record(b"", topic="orders"), identity=b"", checksum=None)
        self.reports.settled(Outcomes(duplicates=[event] * events), {}, 0.0)


async def test_ten_thousand_failing_events_are_a_few_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broken downstream must not fill the disk."""
    caplog.set_level(logging.INFO)
    agent = Agent()
    for offset in range(10_000):
        for attempt in (1, 2, 3):
            agent.fail(offset, attempt=attempt)
    retried, failed = (lines(caplog, f"checkpoint.event_{fate}") for fate in ("retried", "failed"))
    # One a second, however slow this machine is.
    assert 1 <= len(failed) < 500
    assert 1 <= len(retried) < 500
    told = sum(entry.__dict__["events"] for entry in failed)
    assert told == failed[-1].__dict__["offset"] + 1


async def test_progress_is_counted_and_told_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    """So that an operator sees a worker work."""
    caplog.set_level(logging.INFO)
    agent = Agent()
    agent.settle(500)
    for _ in range(100):
        agent.settle(1)
    entry = lines(caplog, "checkpoint.settled")[0].__dict__
    assert (entry["duplicates"], entry["acknowledged"], entry["agent"]) == (500, 0, "agent")
    assert len(lines(caplog, "checkpoint.settled")) < 10


async def test_an_event_that_succeeds_is_counted_as_what_it_became(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Acknowledged here, and a duplicate when it comes again."""
    caplog.set_level(logging.INFO)
    async with database() as into:
        for _ in range(2):
            await process(checkpoint()(succeeds), b"{}", into=into)
    told = [
        (entry.__dict__["acknowledged"], entry.__dict__["duplicates"])
        for entry in lines(caplog, "checkpoint.settled")
    ]
    assert told == [(1, 0), (0, 1)]
