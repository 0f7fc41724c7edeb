"""A database server with the engine's real SQL in it.

SQLite executes every statement. A transaction is the list of its writes: each statement sees what
others have committed and what its own transaction has written before, which is READ COMMITTED, and
COMMIT writes the list for good. Or transactions exclude each other, as they do in SQLite.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from app.checkpoint.models import Model
from tests.simulation.loop import Process
from tests.simulation.world import World


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


class Transaction:
    """What one connection has written and not committed yet."""

    def __init__(self, process: Process | None) -> None:
        self.writes: list[Statement] = []
        self.is_over = False
        self._process = process

    @property
    def is_open(self) -> bool:
        """Return whether somebody may still commit it."""
        return not (self.is_over or (self._process and self._process.dead))


class Store:
    """The server."""

    def __init__(self, world: World, *, exclusive: bool) -> None:
        self.world = world
        """Decides what becomes of requests."""
        self.committed = sqlite3.connect(":memory:", isolation_level=None)
        self.committed.deserialize(_tables())
        self.down_until = 0.0
        self._exclusive = exclusive
        self._in_turn: Transaction | None = None

    def select(self, sql: str) -> list[Any]:
        """Return what is committed."""
        return self.committed.execute(sql).fetchall()

    def let_in(self, transaction: Transaction) -> bool:
        """Return whether a transaction may begin now."""
        before = self._in_turn
        if self._exclusive and before is not None and before.is_open:
            return False
        self._in_turn = transaction
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


@cache
def _tables() -> bytes:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Model.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE effects (partition INTEGER, at INTEGER)")
        database: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]  # SQLAlchemy knows no better
        connection.commit()
        return database.serialize()
