"""Listeners hear of every event, in a fixed order, and can do no harm."""

import asyncio
import logging
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Checkpoint, ConfigurationError, Metadata, Notification, ack
from app.checkpoint.notifications import Notifications, Throttle, log
from app.checkpoint.testing import database, process

ORDER = b'{"order": 1}'
SIGNALS = sorted(vars(Notifications()))

CHECKED = "event_already_exists_check"
ACKNOWLEDGED = ["event_action", "event_acknowledged", "around_consume"]


class Service:
    """An agent of one handler, and a listener to everything."""

    def __init__(self, *, fails: float = 0, skips: bool = False, **options: Any) -> None:
        self.checkpoint = Checkpoint("sqlite:///:memory:", max_retries=1, **options)
        self.heard: list[str] = []
        self.notifications: list[Notification] = []
        for name in SIGNALS:
            getattr(self.checkpoint.notifications, name).connect(self._hear)
        self._fails, self._skips = fails, skips
        self.handler = self.checkpoint()(self._handle)

    def _hear(self, notification: Notification, /, *_: Any, signal: Any, **__: Any) -> None:
        self.heard.append(signal.name)
        self.notifications.append(notification)

    async def _handle(self, _: Any, metadata: Metadata, *__: AsyncSession) -> Ack | None:
        if metadata.attempt <= self._fails:
            raise LookupError(metadata.attempt)
        return None if self._skips else ack("order", 0)


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({}, [CHECKED, *ACKNOWLEDGED]),
        ({"skips": True}, [CHECKED, "event_action", "event_skipped", "around_consume"]),
        (
            {"fails": 1},
            [CHECKED, "event_action", "event_retried", CHECKED, *ACKNOWLEDGED],
        ),
        (
            {"fails": 2},
            [
                *(CHECKED, "event_action", "event_retried"),
                *(CHECKED, "event_action", "event_failed", "around_consume"),
            ],
        ),
    ],
    ids=["acknowledged", "skipped", "retried", "failed"],
)
async def test_each_fate_has_its_sequence(
    script: dict[str, Any], expected: list[str], *, transactional: bool
) -> None:
    """The whole is told last, when it is settled; a transactional handler tells the same."""
    service = Service(transactional=transactional, **script)
    await process(service.handler, ORDER)
    if transactional and script == {"fails": 2}:
        # The failure is recorded in a transaction of its own, after a rollback.
        expected = [*expected[:5], CHECKED, *expected[5:]]
    assert service.heard == expected


async def test_a_duplicate_is_told_as_one() -> None:
    """The handler does not run."""
    service = Service()
    async with database() as into:
        await process(service.handler, ORDER, into=into)
        service.heard.clear()
        await process(service.handler, ORDER, into=into, offset=14)
    assert service.heard == [CHECKED, "event_already_consumed", "around_consume"]


async def test_a_notification_tells_which_event_and_which_attempt() -> None:
    """All that the handler is told, how long it took, and the error where there was one."""
    service = Service(fails=1)
    await process(service.handler, ORDER, topic="orders", partition=2, offset=5, key=b"k")
    for notification in service.notifications:
        metadata = notification.metadata
        assert (metadata.topic, metadata.partition, metadata.offset) == ("orders", 2, 5)
        assert (metadata.key, metadata.group_id) == (b"k", "test-group")
        assert metadata.checksum is not None
        assert notification.duration >= 0
    attempts = [notification.metadata.attempt for notification in service.notifications]
    assert attempts == [1, 1, 1, 1, 2, 2, 2]
    errors = [str(notification.error) for notification in service.notifications]
    assert errors == ["None", "1", "1", "None", "None", "None", "None"]


async def test_a_listener_may_leave() -> None:
    """Nothing is told to it from then on."""
    service = Service()
    service.checkpoint.notifications.event_action.disconnect(service._hear)  # noqa: SLF001 - its own
    await process(service.handler, ORDER)
    assert "event_action" not in service.heard


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_listener_that_raises_does_no_harm(
    error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The event is settled, the others are told, and the log has one traceback, not one each."""
    service = Service()

    def breaks(_: Notification, **__: Any) -> None:
        raise error

    for name in SIGNALS:
        getattr(service.checkpoint.notifications, name).connect(breaks)
    async with database() as into:
        results = [
            await process(service.handler, b"%d" % number, into=into) for number in range(20)
        ]
    assert {result.outcome for result in results} == {"acknowledged"}
    assert len(service.heard) == 20 * 4
    complaints = [
        entry.__dict__["signal"]
        for entry in caplog.records
        if entry.message == "checkpoint.listener_raised"
    ]
    assert set(complaints) == {CHECKED, *ACKNOWLEDGED}
    # One a second and signal, however slow this machine is.
    assert len(complaints) < 40
    assert caplog.text.count("Traceback") == len(complaints)


async def test_a_listener_that_ends_the_process_ends_it() -> None:
    """What it is told of is committed, so that nothing is lost with it."""
    service = Service()

    def ends(_: Notification, **__: Any) -> None:
        raise GeneratorExit

    service.checkpoint.notifications.event_acknowledged.connect(ends)
    async with database() as into:
        with pytest.raises(GeneratorExit):
            await process(service.handler, ORDER, into=into)
        assert (await process(service.handler, ORDER, into=into)).outcome == "duplicate"


def test_a_listener_that_wants_to_be_awaited_is_refused() -> None:
    """It would never run, and nobody would be paged."""

    async def page(_: Notification, **__: Any) -> None:
        """Page somebody."""

    with pytest.raises(ConfigurationError, match=r"event_failed cannot await .*page"):
        Notifications().event_failed.connect(page)


def test_signals_carry_their_names() -> None:
    """One listener can tell several of them apart."""
    notifications = Notifications()
    assert [getattr(notifications, name).name for name in SIGNALS] == SIGNALS
    assert not any(getattr(notifications, name).listened for name in SIGNALS)


def test_a_log_line_has_its_fields_in_the_text_and_as_attributes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """For people and for machines."""
    log(logging.WARNING, "checkpoint.example", topic="orders", offset=5)
    (entry,) = caplog.records
    assert entry.getMessage() == "checkpoint.example topic=orders offset=5"
    assert (entry.__dict__["topic"], entry.__dict__["offset"]) == ("orders", 5)
    assert entry.funcName == "test_a_log_line_has_its_fields_in_the_text_and_as_attributes"


def test_a_log_line_stays_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """An error's text is often a payload's, and could forge lines or paint the terminal."""
    forged = "a\nERROR b\r\x1b[31m\x00\x85\u2028\u202eé"
    log(logging.WARNING, "checkpoint.example", error=forged)
    (entry,) = caplog.records
    assert len(entry.getMessage().splitlines()) == 1
    assert entry.getMessage().endswith(r"error=a\x0aERROR b\x0d\x1b[31m\x00\x85\x2028\x202eé")
    assert entry.__dict__["error"] == forged


def test_a_throttle_lets_one_line_pass_and_counts_the_rest() -> None:
    """The next line tells how many were held back."""
    throttle = Throttle(3600)
    assert [throttle.passes(1) for _ in range(3)] == [1, None, None]
    assert [Throttle(0).passes(count) for count in (1, 5)] == [1, 5]
    soon = Throttle(0.02)
    counts = [soon.passes(1)]
    while counts[-1] is None or len(counts) == 1:
        counts.append(soon.passes(1))
    assert counts[-1] == len(counts) - 1
