"""What operators did, as the audit tells it."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.queries.pages import SCAN_LIMIT
from app.checkpoint.queries.rows import AUDIT
from app.checkpoint.records import AuditEntry

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
) -> list[AuditEntry]:
    """Return entries, newest first, from those that one read looks through."""
    wanted = {"subject": subject, "subject_id": subject_id}
    equal = {name: value for name, value in wanted.items() if value is not None}
    looked_at = select(AUDIT.c.id, AUDIT.c.topic, *[AUDIT.c[name] for name in wanted])
    if cut.before is not None:
        looked_at = looked_at.where(AUDIT.c.id < cut.before)
    if len(equal) == len(wanted):
        # Both together have an index.
        looked_at = looked_at.filter_by(**equal)
    rows = looked_at.order_by(AUDIT.c.id.desc()).limit(SCAN_LIMIT).subquery()
    ids = select(rows.c.id).filter_by(**equal).order_by(rows.c.id.desc()).limit(cut.limit)
    if cut.topics is not None:
        ids = ids.where(rows.c.topic.in_(cut.topics))
    here = ids.subquery()
    entries = select(*[AUDIT.c[name] for name in FIELDS]).join(here, here.c.id == AUDIT.c.id)
    found = await connection.execute(entries.order_by(AUDIT.c.id.desc()))
    return [AuditEntry(**row) for row in found.mappings()]
