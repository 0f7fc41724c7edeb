"""What the database servers have in common: statements, and databases with users of their own."""

import asyncio
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from sqlalchemy import URL, NullPool, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

from tests.servers.server import Server


class DatabaseServer(Server):
    """A private database server; if `durable`, each commit waits for the disk as in production."""

    not_ready: ClassVar = (OSError, SQLAlchemyError)
    driver: ClassVar[str]
    administrator: ClassVar[str]
    system_database: ClassVar[str]
    where_are_your_data: ClassVar[str]

    def __init__(self, folder: Path | None = None, *, durable: bool = False) -> None:
        super().__init__(folder)
        self.durable = durable

    @abstractmethod
    def create_database(self, name: str | None = None) -> str:
        """Create a database and an ordinary user of its own; return its URL."""

    @abstractmethod
    def drop_database(self, url: str) -> None:
        """Drop what `create_database` made, and cut whoever is still connected to it."""

    @abstractmethod
    def terminate_backends(self) -> int:
        """Cut every client's connection; return how many there were."""

    def execute(self, sql: str, *, database: str | None = None) -> list[tuple[object, ...]]:
        """Execute one statement as administrator, in no transaction; return its rows."""
        url = URL.create(
            self.driver,
            self.administrator,
            host="127.0.0.1",
            port=self.port,
            database=database or self.system_database,
        )
        # In a thread of its own: the caller's may be running an event loop already.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, _execute(url, sql)).result()

    def _probe(self) -> None:
        [(place,)] = self.execute(self.where_are_your_data)
        if not self._data.samefile(str(place)):
            message = f"port {self.port} belongs to another server"
            raise ConnectionError(message)

    @property
    def _data(self) -> Path:
        return self.folder / "data"


def unused_name() -> str:
    """Return a name that no database has ever had."""
    return f"test_{uuid4().hex[:12]}"


def name_in(url: str) -> str:
    """Return the name of the database and its user in a URL of `create_database`."""
    return str(make_url(url).database)


async def _execute(url: URL, sql: str) -> list[tuple[object, ...]]:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            result = await connection.exec_driver_sql(sql)
            return [tuple(row) for row in result] if result.returns_rows else []
    finally:
        await engine.dispose()
