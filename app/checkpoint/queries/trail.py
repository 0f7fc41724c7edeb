"""What operators did, as the audit tells it."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import AUDIT
from app.checkpoint.queries.pages import SCAN_LIMIT
from app.checkpoint.records import AuditEntry, Cursor

FIELDS = tuple(AuditEntry.__dataclass_fields__)
SUBJECT = ("subject", "subject_id")


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
    wanted = {"subject": subject, "subject_id": subject_id, "before": cut.before}
    values: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if cut.topics is not None:
        values["topics"] = cut.topics
    statement, ends = _statements(frozenset(values))
    found = await connection.execute(statement, values | {"limit": cut.limit + 1})
    entries = [AuditEntry(**row) for row in found.mappings()]
    if len(entries) > cut.limit:
        return entries[:-1], Cursor(0, entries[-2].id)
    seen, last = (await connection.execute(ends, values)).one()
    return entries, Cursor(0, last) if seen == SCAN_LIMIT else None


@cache
def _statements(given: frozenset[str]) -> tuple[Select[Any], Select[int, int]]:
    """Return what lists the entries, and what tells how many were looked through, and the last."""
    rows = _looked_at(given).subquery()
    matching = [rows.c[name] == bindparam(name) for name in SUBJECT if name in given]
    ids = select(rows.c.id).where(*matching).order_by(rows.c.id.desc())
    if "topics" in given:
        ids = ids.where(rows.c.topic.in_(bindparam("topics", expanding=True)))
    here = ids.limit(bindparam("limit", type_=Integer())).subquery()
    entries = select(*[AUDIT.c[name] for name in FIELDS]).join(here, here.c.id == AUDIT.c.id)
    ends = select(func.count(), func.min(rows.c.id)).select_from(rows)
    return entries.order_by(AUDIT.c.id.desc()), ends


def _looked_at(given: frozenset[str]) -> Select[Any]:
    rows = select(AUDIT.c.id, AUDIT.c.topic, *[AUDIT.c[name] for name in SUBJECT])
    if "before" in given:
        rows = rows.where(AUDIT.c.id < bindparam("before"))
    if given.issuperset(SUBJECT):
        # Both together have an index.
        rows = rows.where(*[AUDIT.c[name] == bindparam(name) for name in SUBJECT])
    return rows.order_by(AUDIT.c.id.desc()).limit(SCAN_LIMIT)
