"""What operators did, as the audit tells it."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import AUDIT
from app.checkpoint.queries.pages import SCAN_LIMIT
from app.checkpoint.records import AuditEntry, Cursor

FIELDS = tuple(AuditEntry.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Which part of the audit is wanted."""

    limit: int
    before: int | None
    """The id at which to go on."""
    topics: frozenset[str] | None


async def audit(
    connection: AsyncConnection, cut: Cut, *, subject: str | None, subject_id: int | None
) -> tuple[list[AuditEntry], Cursor | None]:
    """Return entries, newest first, and where to go on."""
    wanted = {"subject": subject, "subject_id": subject_id}
    equal = {name: value for name, value in wanted.items() if value is not None}
    looked_at = select(AUDIT.c.id, AUDIT.c.topic, *[AUDIT.c[name] for name in wanted])
    if cut.before is not None:
        looked_at = looked_at.where(AUDIT.c.id < cut.before)
    if len(equal) == len(wanted):
        # Both together have an index.
        looked_at = looked_at.filter_by(**equal)
    rows = looked_at.order_by(AUDIT.c.id.desc()).limit(SCAN_LIMIT).subquery()
    ids = select(rows.c.id).filter_by(**equal).order_by(rows.c.id.desc()).limit(cut.limit + 1)
    if cut.topics is not None:
        ids = ids.where(rows.c.topic.in_(cut.topics))
    here = ids.subquery()
    statement = select(*[AUDIT.c[name] for name in FIELDS]).join(here, here.c.id == AUDIT.c.id)
    found = await connection.execute(statement.order_by(AUDIT.c.id.desc()))
    entries = [AuditEntry(**row) for row in found.mappings()]
    if len(entries) > cut.limit:
        return entries[:-1], Cursor(0, entries[-2].id)
    ends = select(func.count(), func.min(rows.c.id)).select_from(rows)
    seen, last = (await connection.execute(ends)).one()
    return entries, Cursor(0, last) if seen == SCAN_LIMIT else None
