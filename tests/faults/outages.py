"""What keeps a database from its work: each is a context, and over where its block ends."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeAlias

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from tests.polling import eventually
from tests.servers.sql import DatabaseServer, name_in

Outage: TypeAlias = Callable[[DatabaseServer, str], AbstractContextManager[None]]
"""Called with a server and the URL of the database on it."""
Execute: TypeAlias = Callable[[str], None]

LOCK = {
    "postgresql": "LOCK TABLE checkpoint_events IN EXCLUSIVE MODE",
    # All rows and what lies between them; and so much to undo makes others a deadlock's victim.
    "mysql": "UPDATE checkpoint_events SET sort_key = -sort_key",
}
LOCK_EFFECTS = {
    "postgresql": "LOCK TABLE effects IN EXCLUSIVE MODE",
    "mysql": "SELECT id FROM effects FOR UPDATE",
}
WAITING = {
    "postgresql": """
        SELECT 1 FROM pg_locks AS wanted JOIN pg_locks AS held USING (pid)
        WHERE NOT wanted.granted AND held.relation = 'effects'::regclass
    """,
    "mysql": """
        SELECT 1 FROM information_schema.innodb_trx
        WHERE trx_state = 'LOCK WAIT' AND trx_rows_modified > 0
    """,
}
"""Finds transactions that have had an effect and wait to record their event."""


@contextmanager
def session(server: DatabaseServer, url: str) -> Iterator[Execute]:
    """Yield what executes a statement in a transaction, which the end of the block rolls back."""
    login: dict[str, Any] = {"username": server.administrator, "password": ""}
    engine = create_async_engine(make_url(url).set(drivername=server.driver, **login))
    with asyncio.Runner() as runner:
        connection = runner.run(_connected(engine))

        def execute(statement: str) -> None:
            runner.run(_executed(connection, statement))

        try:
            yield execute
        finally:
            runner.run(connection.close())
            runner.run(engine.dispose())


async def _connected(engine: Any) -> Any:
    return await engine.connect()


async def _executed(connection: Any, statement: str) -> None:
    await connection.exec_driver_sql(statement)


def down(stop: Callable[[Any], None]) -> Outage:
    """Return what stops the server and starts it again."""

    @contextmanager
    def outage(server: DatabaseServer, _: str) -> Iterator[None]:
        stop(server)
        try:
            yield
        finally:
            server.start()

    return outage


def administered(*changes: str, undo: str) -> Outage:
    """Return what changes something for all connections, and then undoes it for all."""

    @contextmanager
    def outage(server: DatabaseServer, url: str) -> Iterator[None]:
        for change in changes:
            server.execute(change.format(name_in(url)))
        server.terminate_backends()
        try:
            yield
        finally:
            server.execute(undo.format(name_in(url)))
            server.terminate_backends()

    return outage


def locked(change: str = "SELECT 1", *, undo: str = "SELECT 1") -> Outage:
    """Return what locks the events' table, once something limits how long others wait for it."""

    @contextmanager
    def outage(server: DatabaseServer, url: str) -> Iterator[None]:
        limited = administered(change, undo=undo)
        with limited(server, url), session(server, url) as execute:
            execute(LOCK[make_url(url).get_backend_name()])
            yield

    return outage


@contextmanager
def deadlocked(server: DatabaseServer, url: str) -> Iterator[None]:
    """Have a transaction of the worker and one of ours wait for each other; ours wins."""
    dialect = make_url(url).get_backend_name()

    def waits() -> None:
        assert server.execute(WAITING[dialect], database=name_in(url))

    with session(server, url) as execute:
        if dialect == "postgresql":
            # It is the one that looks for a deadlock that is its victim.
            execute("SET LOCAL deadlock_timeout = '10min'")
        execute(LOCK[dialect])
        # MariaDB tells anew only whoever has not asked for 0.1 seconds.
        eventually(waits, interval=0.15)
        execute(LOCK_EFFECTS[dialect])
        yield


def migrating(away: str, back: str) -> Outage:
    """Return what changes a table as a migration might, and changes it back."""

    @contextmanager
    def outage(server: DatabaseServer, url: str) -> Iterator[None]:
        server.execute(away, database=name_in(url))
        try:
            yield
        finally:
            server.execute(back, database=name_in(url))

    return outage
