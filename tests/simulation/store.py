"""A database server with the engine's real SQL in it, and the driver that leads there.

SQLite executes every statement. A transaction is the list of its writes: each statement sees what
others have committed and what its own transaction has written before, which is READ COMMITTED, and
COMMIT writes the list for good. Or transactions exclude each other, as they do in SQLite.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self, TypeVar

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from app.checkpoint.database import BUSY_SECONDS
from app.checkpoint.models import Model
from tests.simulation.loop import PROCESS
from tests.simulation.world import TroubleError, World

T = TypeVar("T")

OUTAGE_SECONDS = 8.0
LOOK_SECONDS = 0.2
"""How often a transaction looks whether the one before it has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """SQL with its parameters, one set or many."""

    sql: str
    parameters: Sequence[Any]
    many: bool

    @property
    def verb(self) -> str:
        """Return its first word."""
        return self.sql.split(maxsplit=1)[0]

    def run(self, database: sqlite3.Connection) -> sqlite3.Cursor:
        """Execute it."""
        execute = database.executemany if self.many else database.execute
        return execute(self.sql, self.parameters)


@dataclass(slots=True)
class Result:
    """What came of a statement."""

    description: Any = None
    rowcount: int = -1
    rows: list[Any] = field(default_factory=list)


class Store:
    """The server."""

    def __init__(self, world: World, *, exclusive: bool) -> None:
        self.world = world
        """Decides what becomes of requests."""
        self.committed = sqlite3.connect(":memory:", isolation_level=None)
        self.committed.deserialize(_tables())
        self.down_until = 0.0
        self._exclusive = exclusive
        self._in_turn: Connection | None = None

    def select(self, sql: str) -> list[Any]:
        """Return what is committed."""
        return self.committed.execute(sql).fetchall()

    def let_in(self, connection: "Connection") -> bool:
        """Return whether a transaction may begin now."""
        before = self._in_turn
        if self._exclusive and before is not None and before.is_open:
            return False
        self._in_turn = connection
        return True

    def run(self, writes: Sequence[Statement], statement: Statement) -> Result:
        """Return what a statement brings behind the earlier ones of its transaction."""
        self.committed.execute("BEGIN")
        try:
            for write in writes:
                write.run(self.committed)
            cursor = statement.run(self.committed)
            rows = cursor.fetchall()
            return Result(description=cursor.description, rowcount=cursor.rowcount, rows=rows)
        finally:
            self.committed.execute("ROLLBACK")

    def commit(self, writes: Sequence[Statement]) -> None:
        """Write for good what a transaction has written."""
        self.committed.execute("BEGIN")
        try:
            for write in writes:
                write.run(self.committed)
        except sqlite3.Error:
            self.committed.execute("ROLLBACK")
            raise
        self.committed.execute("COMMIT")


class Connection:
    """A connection to the server, with the methods of aiosqlite's that SQLAlchemy calls."""

    isolation_level = None

    def __init__(self, store: Store) -> None:
        self._store = store
        self._process = PROCESS.get()
        self._connection = self
        self._connected_at = time.monotonic()
        self._writes: list[Statement] | None = None
        self._is_lost = False

    @property
    def is_open(self) -> bool:
        """Return whether it is in a transaction."""
        return self._writes is not None and not (self._process and self._process.dead)

    @classmethod
    async def open(cls, store: Store) -> Self:
        """Return a new connection."""
        connection = cls(store)
        await connection._ask("connect", lambda: None)
        return connection

    def cursor(self) -> "Cursor":
        """Return what executes statements."""
        return Cursor(self)

    async def execute(self, statement: Statement) -> Result:
        """Execute a statement on the server."""
        if statement.verb == "PRAGMA":
            return Result()
        if statement.verb == "BEGIN":
            await self._begin()
            return Result()
        writes = self._writes
        assert writes is not None
        result = await self._ask(statement.verb, lambda: self._store.run(writes, statement))
        if statement.verb != "SELECT":
            writes.append(statement)
        return result

    async def commit(self) -> None:
        """Commit the transaction, if there is one."""
        writes = self._writes
        if writes is not None:
            await self._ask("COMMIT", lambda: self._store.commit(writes))
            self._writes = None

    async def rollback(self) -> None:
        """Forget the transaction."""
        self._writes = None

    async def close(self) -> None:
        """Close the connection."""
        self._is_lost, self._writes = True, None

    def stop(self) -> None:
        """Close the connection without a word."""
        self._is_lost, self._writes = True, None

    async def create_function(self, *_: Any, **__: Any) -> None:
        """Do nothing: the engine uses no functions of its own."""

    async def _begin(self) -> None:
        await self._ask("BEGIN", lambda: None)
        patience = time.monotonic() + BUSY_SECONDS
        while not self._store.let_in(self):
            if time.monotonic() > patience:
                raise _locked()
            await asyncio.sleep(LOOK_SECONDS)
        self._writes = []

    async def _ask(self, name: str, carry_out: Callable[[], T]) -> T:
        try:
            return await self._store.world.request(name, lambda: self._reach(carry_out))
        except TroubleError as error:
            if error.trouble == "locked":
                raise _locked() from None
            if error.trouble == "outage":
                self._store.down_until = time.monotonic() + OUTAGE_SECONDS
            self.stop()
            raise

    def _reach(self, carry_out: Callable[[], T]) -> T:
        # Nobody could connect during the outage: who has connected before its end, did so before.
        if self._is_lost or self._connected_at < self._store.down_until:
            self.stop()
            raise ConnectionResetError
        return carry_out()


class Cursor:
    """Executes one statement, with the methods of aiosqlite's that SQLAlchemy calls."""

    lastrowid = 0

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._result = Result()

    async def __aenter__(self) -> Self:
        """Return itself."""
        return self

    @property
    def description(self) -> Any:
        """Return what the columns are called, None when there are none."""
        return self._result.description

    @property
    def rowcount(self) -> int:
        """Return how many rows were changed."""
        return self._result.rowcount

    async def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Execute a statement."""
        statement = Statement(sql=sql, parameters=parameters, many=False)
        self._result = await self._connection.execute(statement)

    async def executemany(self, sql: str, parameters: Sequence[Any]) -> None:
        """Execute a statement with each set of parameters."""
        statement = Statement(sql=sql, parameters=parameters, many=True)
        self._result = await self._connection.execute(statement)

    async def fetchall(self) -> list[Any]:
        """Return all rows."""
        return self._result.rows

    async def close(self) -> None:
        """Do nothing: all rows are here."""


def _locked() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@cache
def _tables() -> bytes:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Model.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE effects (partition INTEGER, at INTEGER)")
        database: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # SQLAlchemy knows no better
        connection.commit()
        return database.serialize()
