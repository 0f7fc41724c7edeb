"""What is asked of the API: every list, filter, count and overview, near the top and deep down."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from sqlalchemy import Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import Cursor
from app.web.params import MAX_GROUPS, MAX_LIMIT, MAX_OFFSET, cursor_text
from benchmarks.api.filters import (
    COMBINATIONS,
    FAILURE_COMBINATIONS,
    FAILURE_FILTERS,
    FILTERS,
    Values,
)
from benchmarks.api.seeds import EVENTS, FAILURES, OPERATIONS, Size

VARIANTS = 500
"""Paths of a call that differ in nothing but which rows they meet."""
DEPTHS = {"25 %": 0.25, "50 %": 0.5, "75 %": 0.75, "99 %": 0.99}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One kind of request; of its paths, each request takes any."""

    name: str
    paths: Sequence[str]
    depth: str = ""
    """How far down its list the page is, where that is what the call is about."""

    @property
    def list(self) -> str:
        """Where it asks."""
        return self.paths[0].partition("?")[0]


async def find_calls(connection: AsyncConnection, size: Size) -> list[Call]:
    """Return all calls; pages deep down are looked up in the tables."""
    events, failures = "/v1/events", "/v1/failures"
    all_events = select(EVENTS.c.sort_key, EVENTS.c.id)
    unresolved = select(FAILURES.c.sort_key, FAILURES.c.id).where(FAILURES.c.status == "open")
    return [
        *await _pages(connection, events, all_events),
        *_filtered(events, FILTERS, COMBINATIONS),
        *await _pages(connection, failures, unresolved),
        *_filtered(failures, FAILURE_FILTERS, FAILURE_COMBINATIONS),
        _call(f"{failures}/count"),
        *_filtered(f"{failures}/count", FAILURE_FILTERS, FAILURE_COMBINATIONS),
        _call(f"{failures}/groups"),
        _call(f"{failures}/groups", limit=MAX_GROUPS),
        _call(f"{failures}/groups", limit=MAX_GROUPS, offset=3 * MAX_GROUPS),
        _call("/v1/stats"),
        _call("/v1/audit"),
        _call("/v1/audit", subject="failure"),
        _call("/v1/audit", subject="event"),
        _by_id("/v1/audit?subject=failure&subject_id=", size.failures),
        _call("/v1/operations"),
        _by_id("/v1/operations/", OPERATIONS),
        _by_id(f"{events}/", size.events),
        _by_id(f"{failures}/", size.failures),
    ]


async def _pages(connection: AsyncConnection, path: str, rows: Select[int, int]) -> list[Call]:
    pages = [Call(name=f"{path} first page", paths=[path], depth="first")]
    count = await connection.scalar(select(func.count()).select_from(rows.subquery())) or 0
    places = {name: (int(count * share), VARIANTS) for name, share in DEPTHS.items()}
    # The last page has twenty rows: the one before it ends at the row before.
    for depth, (offset, variants) in (places | {"last": (count - 21, 1)}).items():
        first, second = rows.selected_columns
        newest_first = rows.order_by(first.desc(), second.desc())
        found = await connection.execute(newest_first.offset(offset).limit(variants))
        texts = [cursor_text(Cursor(sort_key, row_id)) for sort_key, row_id in found]
        paths = [f"{path}?cursor={text}" for text in texts]
        pages.append(Call(name=f"{path} page at {depth}", paths=paths, depth=depth))
    return [*pages, _call(path, limit=MAX_LIMIT), _call(path, offset=MAX_OFFSET)]


def _filtered(
    path: str, filters: Mapping[str, Values], combinations: Sequence[Mapping[str, str]]
) -> Iterator[Call]:
    for name, values in filters.items():
        for how_many, texts in values.items():
            paths = [f"{path}?{urlencode({name: text})}" for text in texts]
            yield Call(name=f"{path}?{name} {how_many}", paths=paths)
    for query in combinations:
        yield _call(path, **query)


def _call(path: str, **query: str | int) -> Call:
    asked = f"{path}?{urlencode(query)}" if query else path
    return Call(name=asked, paths=[asked])


def _by_id(path: str, last: int) -> Call:
    chance = random.Random(last)  # noqa: S311 - not for secrets
    ids = [chance.randint(1, last) for _ in range(VARIANTS)]
    return Call(name=f"{path}{{id}}", paths=[f"{path}{number}" for number in ids])
