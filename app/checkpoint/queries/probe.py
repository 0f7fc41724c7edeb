"""What is known of a batch of events before they are handled, in one round trip."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from sqlalchemy import BindParameter, CursorResult, Executable, bindparam, null, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.events import Event
from app.checkpoint.models import EventRow, FailureRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the database already holds of some events."""

    recorded: set[bytes]
    """Identities that have an event row."""
    failures: dict[bytes, tuple[int, int]]
    """Identities that have an open failure, with the partition and offset that failed last."""

    def settled(self, event: Event) -> bool:
        """Return whether an event needs no handling.

        It is recorded, or it is a redelivery of what failed. Equal content that was sent anew, at
        another offset, is handled although its twin has failed.
        """
        coordinates = event.record.partition, event.record.offset
        return event.identity in self.recorded or (
            bool(self.failures) and self.failures.get(event.identity) == coordinates
        )


async def known(connection: AsyncConnection, events: Sequence[Event]) -> Known:
    """Return what is known of some events, in one round trip."""
    identities = [event.identity for event in events]
    rows: CursorResult[Any]
    if connection.dialect.name == "postgresql":
        rows = await connection.exec_driver_sql(_known_postgresql(), (identities,))
    else:
        rows = await connection.execute(_known(), {"wanted": identities})
    recorded: set[bytes] = set()
    failures: dict[bytes, tuple[int, int]] = {}
    for identity, partition, offset in cast("Iterable[tuple[bytes, int | None, int]]", rows):
        if partition is None:
            recorded.add(bytes(identity))
        else:
            failures[bytes(identity)] = partition, offset
    return Known(recorded=recorded, failures=failures)


@cache
def _known() -> Executable:
    wanted: BindParameter[bytes] = bindparam("wanted", expanding=True)
    recorded = select(EventRow.identity, null(), null()).where(EventRow.identity.in_(wanted))
    failed = select(FailureRow.open_key, FailureRow.partition, FailureRow.offset).where(
        FailureRow.open_key.in_(wanted)
    )
    return union_all(recorded, failed)


@cache
def _known_postgresql() -> str:
    # LATERAL, not `= ANY`: with a generic plan the latter turns into a sequential scan.
    return f"""
        SELECT row.identity, NULL::integer, NULL::bigint
        FROM unnest($1::bytea[]) AS wanted (identity)
        CROSS JOIN LATERAL (
            SELECT identity FROM {EventRow.__tablename__} WHERE identity = wanted.identity LIMIT 1
        ) AS row
        UNION ALL
        SELECT row.open_key, row.partition, row."offset"
        FROM unnest($1::bytea[]) AS wanted (identity)
        CROSS JOIN LATERAL (
            SELECT open_key, partition, "offset" FROM {FailureRow.__tablename__}
            WHERE open_key = wanted.identity LIMIT 1
        ) AS row
    """  # noqa: S608 - names of our own tables, no values
