"""The engine for each database, whether its schema is ours, and which errors are outages."""

import asyncio
from typing import Any, cast

from sqlalchemy import URL, Connection, Table, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.checkpoint.errors import SchemaError
from app.checkpoint.models import EventRow, FailureRow

DRIVERS = {
    "sqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "mysql": "mysql+asyncmy",
    "mariadb": "mysql+asyncmy",
}
UPGRADE = "uv run alembic upgrade head"

CONNECT_SECONDS = 5
BUSY_SECONDS = 5
"""How long SQLite waits for another process's transaction."""

POSTGRESQL_OUTAGES = (
    "08",  # connection lost or refused
    "25006",  # read only: a failover
    "40",  # serialization failure, deadlock
    "53",  # disk full, out of memory, too many connections
    "55P03",  # lock timeout
    "57",  # shutdown, starting up, cancelled by timeout or administrator
    "58",  # input or output error
)
MYSQL_OUTAGES = frozenset(
    # connections, shutdown, locks, deadlock, read only, disk full, time-outs, gone away
    [1021, 1040, 1041, 1053, 1114, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290]
    + [1317, 1792, 1836, 1927, 1969, 2002, 2003, 2006, 2013, 2055, 3024]
)
SQLITE_OUTAGES = frozenset([5, 6, 8, 10, 13])
"""busy, locked, read only, input or output error, full"""


def async_url(url: str) -> URL:
    """Return the URL of the async driver for a plain database URL.

    Raises:
        ValueError: not a database that is supported; the sentence never shows the password.
    """
    try:
        parsed = make_url(url)
        driver = DRIVERS[parsed.drivername.partition("+")[0]]
    except (ArgumentError, KeyError, ValueError):
        msg = "write sqlite:///file.db, postgresql://user@host/name or mysql://user@host/name"
        raise ValueError(msg) from None
    return parsed.set(drivername=driver)


class Database:
    """One database with its pool of connections."""

    def __init__(self, url: str, *, pool_size: int = 5) -> None:
        self.url = async_url(url)
        self.dialect = self.url.get_backend_name()
        # SQLite has one writer: one connection makes batches wait here instead of in busy loops.
        size = 1 if self.dialect == "sqlite" else pool_size
        self.engine = create_async_engine(
            self.url,
            pool_size=size,
            max_overflow=0,
            connect_args=_connect_args(self.dialect),
            **({"isolation_level": "READ COMMITTED"} if self.dialect == "mysql" else {}),
        )
        if self.dialect == "sqlite":
            _prepare_sqlite(self.engine)

    async def check_schema(self) -> None:
        """Check that the tables are there as this code needs them.

        Raises:
            SchemaError: something is missing; names it and the command to run.
        """
        async with self.engine.connect() as connection:
            missing = await connection.run_sync(_missing)
        if missing:
            msg = f"the database lacks {missing}: run `{UPGRADE}`"
            raise SchemaError(msg)

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


def is_outage(error: BaseException) -> bool:
    """Return whether an error is of the database as a whole, and not of what was asked of it."""
    if isinstance(error, PoolTimeoutError | OSError | asyncio.TimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    return _is_driver_outage(error.orig, isinstance(error, InterfaceError))


def _is_driver_outage(cause: Any, interface: bool) -> bool:
    state = getattr(cause, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(POSTGRESQL_OUTAGES)
    code = getattr(cause, "sqlite_errorcode", None)
    if isinstance(code, int):
        return code & 0xFF in SQLITE_OUTAGES
    number = cause.args[0] if cause is not None and cause.args else None
    if isinstance(number, int):
        return number in MYSQL_OUTAGES
    return interface or isinstance(cause.__cause__, OSError)


def _missing(connection: Connection) -> str:
    inspector = inspect(connection)
    for model, unique in ((EventRow, "identity"), (FailureRow, "open_key")):
        table = cast("Table", model.__table__)
        if not inspector.has_table(table.name):
            return f"the table {table.name}"
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        for name in table.columns.keys():  # noqa: SIM118 - the names, not the columns
            if name not in columns:
                return f"the column {table.name}.{name}"
        if not _is_unique(inspector, table.name, unique):
            return f"the unique index on {table.name}.{unique}"
    return ""


def _is_unique(inspector: Any, table: str, column: str) -> bool:
    indexes = [index for index in inspector.get_indexes(table) if index["unique"]]
    constraints = inspector.get_unique_constraints(table)
    return any(found["column_names"] == [column] for found in [*indexes, *constraints])


def _connect_args(dialect: str) -> dict[str, Any]:
    if dialect == "postgresql":
        return {"timeout": CONNECT_SECONDS, "server_settings": {"application_name": "checkpoint"}}
    if dialect == "mysql":
        # Times are stored without a zone: the session's own must not shift them.
        modes = "STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION"
        return {
            "connect_timeout": CONNECT_SECONDS,
            "charset": "utf8mb4",
            "init_command": f"SET time_zone = '+00:00', sql_mode = '{modes}'",
        }
    return {"timeout": BUSY_SECONDS}


def _prepare_sqlite(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions of its own
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        # WAL with NORMAL may lose the last commits in a power cut, after their offsets are committed.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def _begin(connection: Connection) -> None:
        # A deferred transaction fails at once when it turns from reading to writing under a writer.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
