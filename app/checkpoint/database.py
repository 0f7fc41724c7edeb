"""The engine for each database, whether its schema is ours, and which errors are outages."""

from typing import Any

from sqlalchemy import URL, Connection, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    create_async_engine,
)
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.checkpoint.errors import SchemaError
from app.checkpoint.keepalive import keep_alive
from app.checkpoint.models import TABLES

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
}
UPGRADE = "uv run alembic upgrade head"

CONNECT_SECONDS = 5
POOL_SECONDS = 30
"""How long a transaction waits for a free connection."""
BUSY_SECONDS = 5
"""How long SQLite waits for another process's transaction."""
READ_SECONDS = 2
"""How long one read for an operator may take."""
READ_POOL_SECONDS = 5
"""How long such a read waits for a free connection."""

POSTGRESQL_OUTAGES = (
    *("08000", "08001", "08003", "08004", "08006", "08007"),  # no connection, or it was lost
    *("25006", "25P03", "25P04"),  # read only, as after a failover; transaction ended for its time
    *("28", "3D"),  # login refused, no such database: for the operator
    *("40001", "40003", "40P01"),  # serialization failure, unknown result, deadlock
    *("53", "58"),  # disk full, out of memory, too many connections; input or output error
    *("55P03", "57"),  # lock timeout; statement timeout, shutting down, starting up
)
MYSQL_OUTAGES = frozenset(
    {
        *(1040, 1042, 1043, 1053, 1129, 1152, 1158, 1159, 1160, 1161, 1203, 1226),  # connections
        *(1927, 2002, 2003, 2006, 2013, 2055, 4031),  # connection refused, killed or lost
        *(1044, 1045, 1049, 1130, 1698),  # login refused, no such database: for the operator
        *(1820, 1862, 3118, 4151),  # password expired, account locked: the same
        *(1020, 1205, 1206, 1213, 1412),  # locks, deadlock, a table changed under a transaction
        *(1317, 1969, 3024),  # statement interrupted or out of time
        *(1036, 1290, 1792, 1836, 1047),  # read only, or not yet a member of its cluster
        *(1021, 1026, 1030, 1037, 1041, 1114, 1180),  # disk full, out of memory, storage error
    }
)
SQLITE_OUTAGES = frozenset({5, 6, 7, 8, 9, 10, 13, 14, 15})
"""Busy, locked, no memory, read only, interrupted, I/O error, full, cannot open, lock protocol."""

POSTGRESQL_MISFITS = ("3F", "42")  # no such schema, table or column, or no right to it
MYSQL_MISFITS = frozenset({1054, 1142, 1143, 1146})  # no such column or table, or no right to it
SQLITE_MISFITS = frozenset({1})  # no such table or column


def async_url(url: str) -> URL:
    """Return the URL of the async driver for a plain database URL.

    Raises:
        ValueError: not a database that is supported; the sentence shows nothing of the URL, which
            may hold a password in any place.
    """
    try:
        parsed = make_url(url)
        scheme = parsed.drivername
        driver = DRIVERS.get(scheme, scheme)
        if driver not in DRIVERS.values():
            raise KeyError(scheme)
        if driver == DRIVERS["sqlite"] and parsed.host:
            # sqlite://file.db: a slash is missing.
            raise KeyError(parsed.host)
    except (ArgumentError, KeyError, ValueError):
        msg = (
            "a database URL is one of sqlite:///file.db, postgresql://user:password@host/name"
            " and mysql://user:password@host/name"
        )
        raise ValueError(msg) from None
    return parsed.set(drivername=driver)


class Database:
    """One database with its pool of connections.

    If `read_only`, nothing can be written, each transaction sees one state of the tables, and on a
    server each statement has a time limit.
    """

    def __init__(self, url: str, *, pool_size: int = 5, read_only: bool = False) -> None:
        self.url = async_url(url)
        self.dialect = self.url.get_backend_name()
        one_writer = self.dialect == "sqlite" and not read_only
        self.engine = create_async_engine(
            self.url,
            poolclass=AsyncAdaptedQueuePool,
            # SQLite has one writer: transactions queue up here, where waiting costs nothing.
            pool_size=1 if one_writer else pool_size,
            max_overflow=0,
            pool_timeout=READ_POOL_SECONDS if read_only else POOL_SECONDS,
            # Payloads must not come out in logs by way of an error's text.
            hide_parameters=True,
            **(_READ_ONLY if read_only else _OPTIONS)[self.dialect],
        )
        _name_lost_connections(self.engine)
        if self.dialect == "sqlite":
            _prepare_sqlite(self.engine, read_only=read_only)
        else:
            keep_alive(self.engine)

    async def check_schema(self) -> None:
        """Check that the tables are there as this code needs them.

        Raises:
            SchemaError: something is missing; names it and the command to run.
        """
        async with self.engine.connect() as connection:
            await self._check_encoding(connection)
            missing = await connection.run_sync(_missing)
        if missing:
            msg = f"the database lacks {missing}: run `{UPGRADE}`"
            raise SchemaError(msg)

    async def _check_encoding(self, connection: AsyncConnection) -> None:
        if self.dialect != "postgresql":
            return
        encoding = await connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            # It would refuse texts that others hold, failures among them: events could never end.
            msg = f"the database's encoding is {encoding}: create it anew with ENCODING 'UTF8'"
            raise SchemaError(msg)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def in_one_line(error: Exception) -> str:
    """Return what a driver says of an error, which may show rows below its first line."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}".splitlines()[0]


def is_outage(error: BaseException) -> bool:
    """Return whether an error is of the database as a whole, never of what was asked of it.

    An OSError is none: those of the database come out of its engine as OperationalError, so that a
    handler's own lost connections are not taken for the database's.
    """
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    return _is_among(error, POSTGRESQL_OUTAGES, MYSQL_OUTAGES, SQLITE_OUTAGES)


def is_misfit(error: BaseException) -> bool:
    """Return whether the tables are not as a statement needs them.

    Where the statement is the checkpoint's, no event is to blame: a migration is under way or was
    forgotten. As with an outage, waiting loses nothing.
    """
    if not isinstance(error, DBAPIError):
        return False
    return _is_among(error, POSTGRESQL_MISFITS, MYSQL_MISFITS, SQLITE_MISFITS)


def is_refusal(error: BaseException) -> bool:
    """Return whether it is for what is in an event that the database does not record it."""
    return not (is_outage(error) or is_misfit(error))


def handler_session(connection: AsyncConnection) -> AsyncSession:
    """Return a session for a transactional handler, in a transaction that is not its own to end.

    The handler may call commit(): nothing is committed before the transaction of the connection is.
    """
    return AsyncSession(connection, expire_on_commit=False, join_transaction_mode="rollback_only")


def _is_among(
    wrapped: DBAPIError, postgresql: tuple[str, ...], mysql: frozenset[int], sqlite: frozenset[int]
) -> bool:
    error: Any = wrapped.driver_exception
    number = error.args[0] if error.args else None
    if isinstance(number, int):
        return number in mysql
    if hasattr(error, "sqlite_errorcode"):
        return error.sqlite_errorcode & 0xFF in sqlite
    return (getattr(error, "sqlstate", None) or "").startswith(postgresql)


def _missing(connection: Connection) -> str:
    inspector = inspect(connection)
    for table in TABLES:
        if not inspector.has_table(table.name):
            return f"the table {table.name}"
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in columns:
                return f"the column {table.name}.{column.name}"
        unique = {index["name"] for index in inspector.get_indexes(table.name) if index["unique"]}
        for index in table.indexes:
            if index.unique and index.name not in unique:
                return f"the unique index {index.name}"
    return ""


# Strict: what does not fit is refused, never cut. Times go in and out in UTC.
SETTINGS = "SET time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
_OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {
        # None: the driver begins no transactions of its own, `_prepare_sqlite` does.
        "connect_args": {"timeout": BUSY_SECONDS, "isolation_level": None},
    },
    "postgresql": {
        "connect_args": {
            "timeout": CONNECT_SECONDS,
            "server_settings": {"application_name": "checkpoint"},
        },
    },
    "mysql": {
        # By default, a transaction that lost the race for a key does not see the winner's row.
        "isolation_level": "READ COMMITTED",
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "charset": "utf8mb4",
            "init_command": SETTINGS,
        },
    },
}
_READ_ONLY: dict[str, dict[str, Any]] = {
    "sqlite": _OPTIONS["sqlite"],
    "postgresql": {
        "connect_args": {
            "timeout": CONNECT_SECONDS,
            "server_settings": {
                "application_name": "checkpoint reader",
                "default_transaction_read_only": "on",
                "default_transaction_isolation": "repeatable read",
                "statement_timeout": f"{READ_SECONDS}s",
                # Every read is made for an index and its order: whatever the planner's figures are,
                # which may be old, it does not read and sort all that a table or status has.
                "enable_seqscan": "off",
                "enable_bitmapscan": "off",
                "enable_hashjoin": "off",
                "enable_mergejoin": "off",
                # So one plan does for all values: to make it each time would take a third as long
                # as to read a page.
                "plan_cache_mode": "force_generic_plan",
                "jit": "off",
            },
        },
    },
    "mysql": {
        "isolation_level": "REPEATABLE READ",
        "connect_args": {
            "connect_timeout": CONNECT_SECONDS,
            "charset": "utf8mb4",
            # What stands behind /*M! only MariaDB reads, behind /*!5 only MySQL.
            "init_command": f"{SETTINGS}"
            f" /*M!100100 , max_statement_time = {READ_SECONDS}, tx_read_only = 1 */"
            f" /*!50720 , max_execution_time = {READ_SECONDS}000, transaction_read_only = 1 */",
        },
    },
}


def _name_lost_connections(engine: AsyncEngine) -> None:
    """Turn the OSErrors that drivers let through into OperationalErrors."""

    @event.listens_for(engine.sync_engine, "do_connect")
    def _connect(dialect: Any, _: Any, args: Any, options: Any) -> Any:
        try:
            return dialect.connect(*args, **options)
        except OSError as error:
            raise OperationalError(None, None, error, connection_invalidated=True) from error

    @event.listens_for(engine.sync_engine, "handle_error")
    def _lost(context: ExceptionContext) -> None:
        error = context.original_exception
        if isinstance(error, OSError):
            context.is_disconnect = True
            raise OperationalError(context.statement, None, error, connection_invalidated=True)


def _prepare_sqlite(engine: AsyncEngine, *, read_only: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        # With NORMAL, a power cut may take back commits whose offsets Kafka has committed since.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        # A deferred transaction fails at once when it turns from reading to writing under a writer.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")
