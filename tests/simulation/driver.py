"""The driver that leads to the store, with the methods of aiosqlite's that SQLAlchemy calls."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from app.checkpoint.database import BUSY_SECONDS
from tests.simulation.loop import PROCESS
from tests.simulation.store import Result, Statement, Store, Transaction
from tests.simulation.world import TroubleError

T = TypeVar("T")

OUTAGE_SECONDS = 8.0
LOOK_SECONDS = 0.2
"""How often a transaction looks whether the one before it has ended."""


class Connection:
    """A connection to the server, with the methods of aiosqlite's that SQLAlchemy calls."""

    isolation_level = None

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection = self
        self._connected_at = time.monotonic()
        self._transaction: Transaction | None = None
        self._is_lost = False

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
        transaction = self._transaction
        assert transaction is not None
        result = await self._ask(
            statement.verb, lambda: self._store.run(transaction.writes, statement)
        )
        if statement.verb != "SELECT":
            transaction.writes.append(statement)
        return result

    async def commit(self) -> None:
        """Commit the transaction, if there is one."""
        transaction = self._transaction
        if transaction is not None:
            await self._ask("COMMIT", lambda: self._store.commit(transaction.writes))
            self._forget()

    async def rollback(self) -> None:
        """Forget the transaction."""
        self._forget()

    async def close(self) -> None:
        """Close the connection."""
        self.stop()

    def stop(self) -> None:
        """Close the connection without a word."""
        self._is_lost = True
        self._forget()

    def _forget(self) -> None:
        if self._transaction is not None:
            self._transaction.is_over = True
        self._transaction = None

    async def create_function(self, *_: Any, **__: Any) -> None:
        """Do nothing: the engine uses no functions of its own."""

    async def _begin(self) -> None:
        await self._ask("BEGIN", lambda: None)
        patience = time.monotonic() + BUSY_SECONDS
        transaction = Transaction(PROCESS.get())
        while not self._store.let_in(transaction):
            if time.monotonic() > patience:
                raise _locked()
            await asyncio.sleep(LOOK_SECONDS)
        self._transaction = transaction

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
