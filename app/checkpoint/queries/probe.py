"""What is known of a batch of events before they are handled, in one round trip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias, cast

from sqlalchemy import BindParameter, CursorResult, Executable, bindparam, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.errors import ProcessDiedError
from app.checkpoint.events import Event
from app.checkpoint.failures import error_class
from app.checkpoint.models import EventRow, FailureRow

PROCESS_DIED = error_class(ProcessDiedError(0))
_Row: TypeAlias = tuple[bytes, int | None, int, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database already holds of some events."""

    recorded: set[bytes]
    """Identities that have an event row."""
    failures: dict[bytes, tuple[int, int] | None]
    """Identities that have an open failure, with the partition and offset that failed last.

    None: the event has ended processes, wherever it lies.
    """

    def settled(self, event: Event) -> bool:
        """Return whether an event needs no handling.

        It is recorded, or it is a redelivery of what failed. Equal content that was sent anew, at
        another offset, is handled although its twin has failed, unless that ended the process: of
        two such twins, each would have the other one forgotten, and no start would be the last.
        """
        if event.identity in self.recorded:
            return True
        if not self.failures or event.identity not in self.failures:
            return False
        coordinates = event.record.partition, event.record.offset
        return self.failures[event.identity] in {None, coordinates}


async def known(connection: AsyncConnection, events: Sequence[Event]) -> Known:
    """Return what is known of some events, in one round trip."""
    identities = [event.identity for event in events]
    rows: CursorResult[Any]
    if connection.dialect.name == "postgresql":
        rows = await connection.exec_driver_sql(_known_postgresql(), (identities,))
    else:
        rows = await connection.execute(_known(), {"wanted": identities})
    recorded: set[bytes] = set()
    failures: dict[bytes, tuple[int, int] | None] = {}
    for identity, partition, offset, kind in cast("Iterable[_Row]", rows):
        if partition is None:
            recorded.add(bytes(identity))
        else:
            ended = kind == PROCESS_DIED
            failures[bytes(identity)] = None if ended else (partition, offset)
    return Known(recorded=recorded, failures=failures)


@cache
def _known() -> Executable:
    wanted: BindParameter[bytes] = bindparam("wanted", expanding=True)
    recorded = select(EventRow.identity, null(), null(), null())
    of_failures = FailureRow.partition, FailureRow.offset, FailureRow.error_class
    failed = select(FailureRow.open_key, *of_failures)
    return union_all(
        recorded.where(EventRow.identity.in_(wanted)), failed.where(FailureRow.open_key.in_(wanted))
    )


@cache
def _known_postgresql() -> str:
    # LATERAL, not `= ANY`: with a generic plan the latter turns into a sequential scan.
    return f"""
        SELECT row.identity, NULL::integer, NULL::bigint, NULL::text
        FROM unnest($1::bytea[]) AS wanted (identity)
        CROSS JOIN LATERAL (
            SELECT identity FROM {EventRow.__tablename__} WHERE identity = wanted.identity LIMIT 1
        ) AS row
        UNION ALL
        SELECT row.open_key, row.partition, row."offset", row.error_class
        FROM unnest($1::bytea[]) AS wanted (identity)
        CROSS JOIN LATERAL (
            SELECT open_key, partition, "offset", error_class FROM {FailureRow.__tablename__}
            WHERE open_key = wanted.identity LIMIT 1
        ) AS row
    """  # noqa: S608 - names of our own tables, no values
