"""How long rows are kept, and which of them have had their time."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import TypeAlias

from sqlalchemy import ColumnElement, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.claims import LEASE_SECONDS
from app.checkpoint.errors import ConfigurationError
from app.checkpoint.models import AUDIT, EVENTS, FAILURES, ITEMS, OPERATIONS
from app.checkpoint.queries import retention as queries

Act: TypeAlias = Callable[[AsyncConnection, Table, ColumnElement[bool]], Awaitable[int]]
"""Deletes or counts the rows of a table for which this holds."""
Doomed: TypeAlias = Callable[[datetime], ColumnElement[bool]]
"""What holds for the rows that go, at this time of the database's clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long rows are kept; None: for ever.

    An event whose row is gone, or whose open failure is, is handled again when it is delivered
    again: keep these two longer than their topics do.
    """

    events: timedelta | None = None
    """Since they were recorded."""
    resolved: timedelta | None = None
    """Such failures, since they last failed."""
    discarded: timedelta | None = None
    """The same."""
    open: timedelta | None = None
    """The same; those that are being retried, or that a bulk operation has before it, stay."""
    audit: timedelta | None = None
    """Of what was done, since then; of bulk operations, with their items, since they ended."""

    def __post_init__(self) -> None:
        """Refuse an age that is none.

        Raises:
            ConfigurationError: says which, and what to write instead.
        """
        for field in fields(self):
            age = getattr(self, field.name)
            if age is not None and age <= timedelta():
                msg = f"Retention({field.name}={age!r}) cannot work: write more than no time"
                raise ConfigurationError(msg)

    def __bool__(self) -> bool:
        """Return whether anything is ever to go."""
        return any(getattr(self, field.name) is not None for field in fields(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one batch has done."""

    rows: int
    then: "Sweep | None"
    """Where the next one goes on; None: nothing is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """A way through the rows of a table, whose ids ascend with their age but for a little."""

    name: str
    table: Table
    before: datetime
    """All that was recorded later stays."""
    doomed: Doomed
    after: int = 0
    """The last id that was looked at."""

    async def step(self, connection: AsyncConnection, act: Act, *, limit: int) -> Step:
        """Look at so many rows, and act on those of them that go."""
        page = await queries.page(connection, self.table, after=self.after, limit=limit)
        if page is None or page.oldest >= self.before:
            return Step(rows=0, then=None)
        within = self.table.c.id.between(self.after + 1, page.last)
        rows = await act(connection, self.table, within & self.doomed(page.now))
        return Step(rows=rows, then=replace(self, after=page.last))


@dataclass(frozen=True, slots=True, kw_only=True)
class Operations:
    """A way through the bulk operations that have ended: first an operation's items, then it."""

    name: str
    before: datetime
    after: int = 0
    position: int = 0
    """The first item of the next operation that was not looked at."""

    async def step(self, connection: AsyncConnection, act: Act, *, limit: int) -> Step:
        """Act on so many items of an operation; with the last of them, on itself."""
        ended = await queries.ended_operation(connection, before=self.before, after=self.after)
        if ended is None:
            return Step(rows=0, then=None)
        end = self.position + limit
        items = ITEMS.c.position.between(self.position, end - 1)
        await act(connection, ITEMS, (ITEMS.c.operation_id == ended.id) & items)
        if end < ended.total:
            return Step(rows=0, then=replace(self, position=end))
        rows = await act(connection, OPERATIONS, OPERATIONS.c.id == ended.id)
        return Step(rows=rows, then=replace(self, after=ended.id, position=0))


Sweep: TypeAlias = Rows | Operations


def sweeps(keep: Retention, now: datetime) -> Iterator[Sweep]:
    """Yield the ways through all that may be too old at this time of the database's clock."""
    if keep.events is not None:
        yield _recorded("events", EVENTS, now - keep.events)
    for status in ("resolved", "discarded", "open"):
        age: timedelta | None = getattr(keep, status)
        if age is not None:
            yield _failures(status, now - age)
    if keep.audit is not None:
        yield _recorded("audit", AUDIT, now - keep.audit)
        yield Operations(name="operations", before=now - keep.audit)


def _recorded(name: str, table: Table, before: datetime) -> Rows:
    return Rows(name=name, table=table, before=before, doomed=lambda _: table.c.created_at < before)


def _failures(status: str, before: datetime) -> Rows:
    def doomed(now: datetime) -> ColumnElement[bool]:
        silent = FAILURES.c.claimed_at <= now - timedelta(seconds=LEASE_SECONDS)
        unclaimed = FAILURES.c.claimed_at.is_(None) | silent
        old = (FAILURES.c.status == status) & (FAILURES.c.last_failed_at < before) & unclaimed
        return old & queries.is_not_awaited() if status == "open" else old

    return Rows(name=status, table=FAILURES, before=before, doomed=doomed)
