"""Everything that operators and programs may read, with an engine apart from the agents'."""

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.checkpoint.database import Database
from app.checkpoint.models import EVENTS, FAILURES
from app.checkpoint.queries import details, groups, pages, stats, trail
from app.checkpoint.queries.pages import Cut
from app.checkpoint.queries.windows import is_one_statement
from app.checkpoint.records import (
    AuditEntry,
    Count,
    Cursor,
    EventRecord,
    FailureGroup,
    FailureRecord,
    Filter,
    Page,
    Stats,
)

POOL_SIZE = 4


class Reader:
    """Reads what is stored, each time at a bounded cost, and never in the agents' way.

    All of it raises SQLAlchemy's errors when the database cannot answer, or not in time.
    """

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url, pool_size=POOL_SIZE, read_only=True)
        self._engine = self._database.engine
        self._once = _without_transactions(self._database)

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()

    async def check_schema(self) -> None:
        """Check that the tables are there as this code needs them.

        Raises:
            SchemaError: something is missing; names it and the command to run.
        """
        await self._database.check_schema()

    async def events(
        self, where: Filter, *, limit: int, offset: int = 0, after: Cursor | None = None
    ) -> Page[EventRecord]:
        """Return events, newest first by their own time, those without one last."""
        cut = Cut(limit=limit, offset=offset, after=after)
        async with self._connect(EVENTS, where) as connection:
            return await pages.page(connection, EventRecord, where, cut)

    async def event(self, event_id: int, *, topics: frozenset[str] | None = None) -> EventRecord:
        """Return one event with its whole payload.

        Raises:
            NotFoundError: there is none, or it is not of these topics.
        """
        async with self._engine.connect() as connection:
            return await details.event(connection, event_id, topics)

    async def failures(
        self, where: Filter, *, limit: int, offset: int = 0, after: Cursor | None = None
    ) -> Page[FailureRecord]:
        """Return failures, newest first by their event's time, those without one last."""
        cut = Cut(limit=limit, offset=offset, after=after)
        async with self._connect(FAILURES, where) as connection:
            return await pages.page(connection, FailureRecord, where, cut)

    async def failure(
        self, failure_id: int, *, topics: frozenset[str] | None = None
    ) -> FailureRecord:
        """Return one failure with its whole payload.

        Raises:
            NotFoundError: there is none, or it is not of these topics.
        """
        async with self._engine.connect() as connection:
            return await details.failure(connection, failure_id, topics)

    async def count_failures(self, where: Filter) -> Count:
        """Count failures; where no index answers the filter, among the newest ones only."""
        async with self._connect(FAILURES, where) as connection:
            return await pages.count(connection, FAILURES, where)

    async def groups(
        self, *, limit: int, offset: int = 0, topics: frozenset[str] | None = None
    ) -> list[FailureGroup]:
        """Return the groups of unresolved failures, the one that failed last first."""
        async with self._once.connect() as connection:
            return await groups.groups(connection, limit=limit, offset=offset, topics=topics)

    async def stats(self, *, topics: frozenset[str] | None = None) -> Stats:
        """Count what there is of these topics among the newest rows."""
        async with self._once.connect() as connection:
            return await stats.stats(connection, topics=topics)

    async def audit(
        self,
        *,
        limit: int,
        before: int | None = None,
        subject: str | None = None,
        subject_id: int | None = None,
        topics: frozenset[str] | None = None,
    ) -> Page[AuditEntry]:
        """Return what operators did, newest first."""
        cut = trail.Cut(limit=limit, before=before, topics=topics)
        async with self._engine.connect() as connection:
            entries, following = await trail.audit(
                connection, cut, subject=subject, subject_id=subject_id
            )
        return Page(items=entries, next=following)

    def _connect(self, table: Table, where: Filter) -> AsyncConnection:
        is_one = is_one_statement(table, where)
        return (self._once if is_one else self._engine).connect()


def _without_transactions(database: Database) -> AsyncEngine:
    """Return an engine for reads of one statement, which sees one state of the tables by itself."""
    if database.dialect != "postgresql":
        # MariaDB would be told so each time; SQLite has no round trips that could be saved.
        return database.engine
    return database.engine.execution_options(isolation_level="AUTOCOMMIT")
