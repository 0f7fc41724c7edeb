"""Which errors of real servers are outages, and when a schema is ours."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TypeAlias

import pytest
from sqlalchemy import func, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import AsyncAdaptedQueuePool

from app.checkpoint.database import UPGRADE, Database, async_url, is_misfit, is_outage
from app.checkpoint.errors import SchemaError
from app.checkpoint.models import EventRow
from app.checkpoint.testing import database
from tests.checkpoint.test_models import row
from tests.servers import MariaDB, PostgreSQL
from tests.servers.sql import DatabaseServer

Provoke: TypeAlias = Callable[[str, DatabaseServer], Awaitable[object]]

DELETE = "DELETE FROM checkpoint_events"
TWINS = "UPDATE checkpoint_events SET identity = '0123456789abcdef'"
NO_TOPIC = "UPDATE checkpoint_events SET topic = NULL"
LONG_TOPIC = "UPDATE checkpoint_events SET topic = repeat('x', 250)"


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("sqlite:///service.db", "sqlite+aiosqlite"),
        ("postgres://u:p@host/name", "postgresql+asyncpg"),
        ("postgresql://u:p@host/name", "postgresql+asyncpg"),
        ("mysql://u:p@host/name", "mysql+asyncmy"),
        ("mariadb://u:p@host/name", "mysql+asyncmy"),
        ("postgresql+asyncpg://u:p@host/name?ssl=require", "postgresql+asyncpg"),
    ],
)
def test_a_plain_url_gets_its_async_driver(url: str, driver: str) -> None:
    """As platforms hand them out; the rest of the URL stays."""
    parsed = async_url(url)
    assert parsed.drivername == driver
    assert parsed.set(drivername=url.partition(":")[0]) == make_url(url)


@pytest.mark.parametrize(
    "url", ["", "s3cret", "oracle://u:s3cret@host/name", "postgresql+psycopg2://u:s3cret@h/n", "//"]
)
def test_another_url_is_refused_without_showing_it(url: str) -> None:
    """The sentence says what to write; a password may stand anywhere in what is no URL."""
    with pytest.raises(ValueError, match="postgresql://user:password@host/name") as caught:
        async_url(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_the_right_schema_passes(tables: Database) -> None:
    """Also with a column, an index and a table of the service's own."""
    await execute(tables, "ALTER TABLE checkpoint_events ADD COLUMN note INTEGER")
    await execute(tables, "CREATE INDEX by_note ON checkpoint_events (note)")
    await execute(tables, "CREATE TABLE checkpoint_notes (id INTEGER)")
    await tables.check_schema()


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ("DROP TABLE checkpoint_events", "the table checkpoint_events"),
        ("DROP TABLE checkpoint_failures", "the table checkpoint_failures"),
        (
            "ALTER TABLE checkpoint_failures RENAME COLUMN occurrences TO times",
            "the column checkpoint_failures.occurrences",
        ),
        ("DROP INDEX {}", "the unique index ix_checkpoint_failures_open_key"),
        (
            "CREATE INDEX {0} ON checkpoint_failures (open_key)",
            "the unique index ix_checkpoint_failures_open_key",
        ),
    ],
)
async def test_a_schema_that_is_not_ours_is_refused(
    tables: Database, change: str, missing: str
) -> None:
    """The error names what is missing, and the command that makes it."""
    index = "ix_checkpoint_failures_open_key"
    dropped = f"{index} ON checkpoint_failures" if tables.dialect == "mysql" else index
    if "INDEX" in change:
        await execute(tables, f"DROP INDEX {dropped}")
    if not change.startswith("DROP INDEX"):
        await execute(tables, change.format(index))
    with pytest.raises(SchemaError) as caught:
        await tables.check_schema()
    assert f"lacks {missing}:" in str(caught.value)
    assert f"`{UPGRADE}`" in str(caught.value)


async def test_a_database_that_holds_few_texts_is_refused(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    """PostgreSQL converts what it is sent to the encoding, and refuses what it cannot."""
    name = make_url(postgresql_url).database
    postgresql.execute(f"DROP DATABASE {name}")
    options = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'"
    postgresql.execute(f"CREATE DATABASE {name} OWNER {name} {options}")
    async with database(postgresql_url) as tables:
        with pytest.raises(SchemaError, match="LATIN1: create it anew with ENCODING 'UTF8'"):
            await tables.check_schema()


async def execute(tables: Database, *statements: str) -> None:
    """Execute statements in one transaction."""
    async with tables.engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def write(tables: Database, *identities: int) -> None:
    """Insert event rows with these identities, and key and offset alike."""
    async with tables.engine.begin() as connection:
        await connection.execute(insert(EventRow), [row(identity) for identity in identities])


def statements(*texts: str) -> Provoke:
    """Return what executes statements in one transaction, the last of which fails."""

    async def provoke(url: str, _: DatabaseServer) -> None:
        async with database(url) as tables:
            await execute(tables, *texts)

    return provoke


def administered(change: str, statement: str = "SELECT 1", *, undo: str = "SELECT 1") -> Provoke:
    """Return what executes a statement after the administrator has changed something."""

    async def provoke(url: str, server: DatabaseServer) -> None:
        async with database(url):
            server.execute(change.format(make_url(url).username))
        try:
            await statements(statement)(url, server)
        finally:
            server.execute(undo)

    return provoke


def connecting(**changed: str) -> Provoke:
    """Return what connects with another user, password or database."""

    async def provoke(url: str, server: DatabaseServer) -> None:
        other = make_url(url).set(**changed)  # type: ignore[arg-type]
        await statements("SELECT 1")(other.render_as_string(hide_password=False), server)

    return provoke


async def terminated(url: str, server: DatabaseServer) -> None:
    """Lose the connection between two statements."""
    async with database(url) as tables, tables.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1")
        server.terminate_backends()
        await connection.exec_driver_sql("SELECT 1")


async def stopped(url: str, server: DatabaseServer) -> None:
    """Lose the whole server between two statements."""
    async with database(url) as tables, tables.engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1")
        await asyncio.to_thread(server.stop)
        await connection.exec_driver_sql("SELECT 1")


async def refused(url: str, server: DatabaseServer) -> None:
    """Connect while nobody listens."""
    await asyncio.to_thread(server.stop)
    await statements("SELECT 1")(url, server)


def locked(timeout: str) -> Provoke:
    """Return what waits longer than allowed for a row that another transaction holds."""

    async def provoke(url: str, _: DatabaseServer) -> None:
        async with database(url) as tables:
            await write(tables, 1)
            async with tables.engine.connect() as holder:
                await holder.exec_driver_sql("UPDATE checkpoint_events SET sort_key = 1")
                await execute(tables, timeout, "UPDATE checkpoint_events SET sort_key = 2")

    return provoke


async def altered(url: str, server: DatabaseServer) -> None:
    """Have a table rebuilt between two statements of a transaction."""
    async with database(url) as tables, tables.engine.connect() as connection:
        await connection.exec_driver_sql("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        await connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT")
        server.execute(
            "ALTER TABLE checkpoint_events FORCE, ALGORITHM = COPY", database=make_url(url).database
        )
        await connection.exec_driver_sql("SELECT id FROM checkpoint_events")


async def deadlocked(url: str, _: DatabaseServer) -> None:
    """Have two transactions wait for each other's rows."""
    async with database(url) as tables:
        await write(tables, 1, 2)
        both = asyncio.Barrier(2)

        async def touch(*identities: int) -> None:
            async with tables.engine.begin() as connection:
                for identity in identities:
                    await connection.execute(
                        update(EventRow)
                        .where(EventRow.identity == row(identity)["identity"])
                        .values(sort_key=1)
                    )
                    if identity == identities[0]:
                        await both.wait()

        results = await asyncio.gather(touch(1, 2), touch(2, 1), return_exceptions=True)
        [victim] = [result for result in results if result is not None]
        raise victim


async def crowded(url: str, server: DatabaseServer) -> None:
    """Open more connections than the server serves."""
    server.execute("SET GLOBAL max_connections = 10")
    try:
        async with AsyncExitStack() as connections:
            pool = Database(url, pool_size=12)
            connections.push_async_callback(pool.close)
            for _ in range(12):
                await connections.enter_async_context(pool.engine.connect())
    finally:
        server.execute("SET GLOBAL max_connections = 151")


ON_POSTGRESQL: dict[str, tuple[object, Provoke]] = {
    "connection cut": (None, terminated),
    "server stopped": (None, stopped),
    "nobody listens": (None, refused),
    "read only": ("25006", statements("SET TRANSACTION READ ONLY", DELETE)),
    "unknown user": ("28000", connecting(username="nobody")),
    "user locked out": ("28000", administered('ALTER ROLE "{}" NOLOGIN')),
    "unknown database": ("3D000", connecting(database="nowhere")),
    "deadlock": ("40P01", deadlocked),
    "too many connections": ("53300", administered('ALTER ROLE "{}" CONNECTION LIMIT 0')),
    "lock timeout": ("55P03", locked("SET lock_timeout = '10ms'")),
    "statement timeout": (
        "57014",
        statements("SET statement_timeout = '10ms'", "SELECT pg_sleep(60)"),
    ),
}
ON_MARIADB: dict[str, tuple[object, Provoke]] = {
    "connection cut": (None, terminated),
    "server stopped": (None, stopped),
    "nobody listens": (None, refused),
    "read only": (
        1290,
        administered("SET GLOBAL read_only = 1", DELETE, undo="SET GLOBAL read_only = 0"),
    ),
    "read only transaction": (1792, statements("START TRANSACTION READ ONLY", DELETE)),
    "wrong password": (1045, connecting(password="wrong")),  # noqa: S106 - the case
    "not the user's database": (1044, connecting(database="nowhere")),
    "unknown database": (1049, connecting(username="root", password="", database="nowhere")),
    "account locked": (4151, administered("ALTER USER `{}`@`127.0.0.1` ACCOUNT LOCK")),
    "password expired": (1820, administered("ALTER USER `{}`@`127.0.0.1` PASSWORD EXPIRE")),
    "deadlock": (1213, deadlocked),
    "table changed": (1412, altered),
    "too many connections": (1040, crowded),
    "quota of a user": (
        1226,
        administered("ALTER USER `{}`@`127.0.0.1` WITH MAX_QUERIES_PER_HOUR 1"),
    ),
    "lock timeout": (1205, locked("SET innodb_lock_wait_timeout = 0")),
    "statement timeout": (
        1969,
        statements("SET max_statement_time = 0.01", "SELECT SLEEP(60)"),
    ),
    "table full": (
        1114,
        statements(
            "SET max_heap_table_size = 16384",
            "CREATE TEMPORARY TABLE x (y CHAR(255)) ENGINE = MEMORY",
            "INSERT INTO x SELECT REPEAT('y', 255) FROM seq_1_to_10000",
        ),
    ),
}
INNOCENT: dict[str, dict[object, str]] = {
    "sqlite": {
        sqlite3.SQLITE_CONSTRAINT_UNIQUE: TWINS,
        sqlite3.SQLITE_CONSTRAINT_NOTNULL: NO_TOPIC,
        sqlite3.SQLITE_ERROR: "SELECT FROM WHERE",
    },
    "postgresql": {
        "23505": TWINS,
        "23502": NO_TOPIC,
        "22001": LONG_TOPIC,
        "22P02": "UPDATE checkpoint_events SET payload = 'no JSON'",
        "42601": "SELECT FROM WHERE",
    },
    "mysql": {1062: TWINS, 1048: NO_TOPIC, 1406: LONG_TOPIC, 1064: "SELECT FROM WHERE"},
}
"""Statements that are to blame themselves, by the code of the error."""


def code(error: BaseException) -> object:
    """Return what the database calls the error: an SQLSTATE or a number."""
    assert isinstance(error, DBAPIError)
    cause = error.driver_exception
    if cause.args and isinstance(cause.args[0], int):
        return cause.args[0]
    return getattr(cause, "sqlite_errorcode", None) or getattr(cause, "sqlstate", None)


@pytest.mark.parametrize(
    ("server", "expected", "provoke"),
    [
        pytest.param(server, *case, id=f"{server}: {name}")
        for server, cases in (("postgresql", ON_POSTGRESQL), ("mariadb", ON_MARIADB))
        for name, case in cases.items()
    ],
)
async def test_what_a_server_cannot_do_now_is_an_outage(
    request: pytest.FixtureRequest, server: str, expected: object, provoke: Provoke
) -> None:
    """No event is to blame for it: waiting, or an operator, helps."""
    url = request.getfixturevalue(f"{server}_url")
    with pytest.raises(DBAPIError) as caught:
        await provoke(url, request.getfixturevalue(server))
    if expected is not None:
        assert code(caught.value) == expected
    assert is_outage(caught.value)
    assert not is_misfit(caught.value)


async def test_what_sqlite_cannot_do_now_is_an_outage(sqlite_url: str, tmp_path: Path) -> None:
    """A file that another process writes to, that is full, or that cannot be opened."""
    # First: the driver's thread still has something to say to the event loop after it.
    await outage(sqlite3.SQLITE_CANTOPEN, missing(tmp_path))
    async with database(sqlite_url) as tables:
        await write(tables, 1)
        await execute(tables, "PRAGMA busy_timeout = 0")
        with closing(sqlite3.connect(tmp_path / "service.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await outage(sqlite3.SQLITE_BUSY, execute(tables, DELETE))
    async with database(sqlite_url) as tables:
        await execute(tables, "PRAGMA max_page_count = 1")
        await outage(sqlite3.SQLITE_FULL, write(tables, *range(2, 1000)))
        await execute(tables, "PRAGMA query_only = 1")
        await outage(sqlite3.SQLITE_READONLY, execute(tables, DELETE))


async def missing(folder: Path) -> None:
    """Open a file that cannot be one."""
    async with database(f"sqlite:///{folder}"):
        pass


async def outage(expected: object, work: Awaitable[object]) -> None:
    """Check that work fails with this code, and that it is an outage."""
    with pytest.raises(DBAPIError) as caught:
        await work
    assert code(caught.value) == expected
    assert is_outage(caught.value)


async def test_what_a_statement_asked_for_is_no_outage(tables: Database) -> None:
    """Repeating it would fail the same way for ever."""
    await write(tables, 1, 2)
    for expected, statement in INNOCENT[tables.dialect].items():
        with pytest.raises(DBAPIError) as caught:
            await execute(tables, statement)
        assert code(caught.value) == expected
        assert not is_outage(caught.value)


async def test_what_does_not_fit_is_refused_and_not_cut(mariadb: MariaDB, mariadb_url: str) -> None:
    """Also where the operator has chosen otherwise."""
    mode = mariadb.execute("SELECT @@GLOBAL.sql_mode")[0][0]
    mariadb.execute("SET GLOBAL sql_mode = ''")
    try:
        async with database(mariadb_url) as tables:
            await write(tables, 1)
            with pytest.raises(DBAPIError, match="Data too long"):
                await execute(tables, LONG_TOPIC)
    finally:
        mariadb.execute(f"SET GLOBAL sql_mode = '{mode}'")


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
async def test_a_transaction_sees_what_others_have_committed_meanwhile(
    request: pytest.FixtureRequest, server: str
) -> None:
    """One that lost the race for an event finds the winner's row."""
    count = select(func.count()).select_from(EventRow)
    async with (
        database(request.getfixturevalue(f"{server}_url")) as tables,
        tables.engine.begin() as connection,
    ):
        assert await connection.scalar(count) == 0
        await write(tables, 1)
        assert await connection.scalar(count) == 1


async def test_tables_that_a_statement_does_not_find_are_a_misfit(tables: Database) -> None:
    """The statement may be right and the migration late; a refused value is no misfit."""
    for statement in ("SELECT * FROM checkpoint_notes", "SELECT note FROM checkpoint_events"):
        with pytest.raises(DBAPIError) as caught:
            await execute(tables, statement)
        assert is_misfit(caught.value)
        assert not is_outage(caught.value)
    await write(tables, 1, 2)
    with pytest.raises(DBAPIError) as caught:
        await execute(tables, TWINS)
    assert not is_misfit(caught.value)


async def test_a_pool_that_is_used_up_is_an_outage(sqlite_url: str) -> None:
    """So many transactions at once will be over some time."""
    engine = create_async_engine(
        async_url(sqlite_url),
        poolclass=AsyncAdaptedQueuePool,
        pool_size=1,
        max_overflow=0,
        pool_timeout=0.01,
    )
    async with engine.connect():
        with pytest.raises(PoolTimeoutError) as caught:
            await engine.connect()
    await engine.dispose()
    assert is_outage(caught.value)


@pytest.mark.parametrize(
    "error", [ConnectionResetError(), TimeoutError(), ValueError(), asyncio.CancelledError()]
)
def test_an_error_that_is_not_the_databases_is_no_outage(error: BaseException) -> None:
    """A handler's own lost connection costs the event a retry, not the worker its progress."""
    assert not is_outage(error)
    assert not is_misfit(error)


async def test_sqlite_keeps_what_it_has_committed(sqlite_url: str) -> None:
    """Through a power cut as well: offsets are committed to Kafka after it."""
    async with database(sqlite_url) as tables, tables.engine.connect() as connection:
        settings = {
            name: await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_two_processes_write_to_one_sqlite_file(sqlite_url: str) -> None:
    """A transaction that reads first, and then writes, waits for the other's to end."""
    async with database(sqlite_url) as one, database(sqlite_url) as other:

        async def count_up(tables: Database, identities: range) -> None:
            for identity in identities:
                async with tables.engine.begin() as connection:
                    await connection.scalar(select(func.count()).select_from(EventRow))
                    await connection.execute(insert(EventRow), row(identity))

        await asyncio.gather(count_up(one, range(50)), count_up(other, range(50, 100)))
        async with one.engine.connect() as connection:
            assert await connection.scalar(select(func.count()).select_from(EventRow)) == 100


async def test_an_error_does_not_show_what_was_to_be_written(tables: Database) -> None:
    """Errors end up in logs, and payloads must not."""
    async with tables.engine.begin() as connection:
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(
                insert(EventRow), [row(1, payload='"s3cret"'), row(1, payload='"s3cret"')]
            )
    assert "s3cret" not in str(caught.value)
