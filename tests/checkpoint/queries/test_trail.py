"""What operators did, newest first."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Reader
from app.checkpoint.database import Database
from app.checkpoint.queries.pages import SCAN_LIMIT
from app.checkpoint.testing import database
from tests.checkpoint.queries.rows import NOON, Row, act, reading, store

FULL: Row = {
    "created_at": NOON,
    "actor": "ann",
    "request_id": "r",
    "action": "discard",
    "subject": "failure",
    "subject_id": 2**40,
    "operation_id": 7,
    "topic": "orders",
    "before": '{"status": "open"}',
    "after": '{"b": 1.0, "a": 2}',
}
SUBJECTS = ["event", "failure"]
acts = st.lists(
    st.fixed_dictionaries(
        {
            "subject": st.sampled_from(SUBJECTS),
            "subject_id": st.integers(1, 2),
            "topic": st.sampled_from(["a", "b", None]),
        }
    ),
    max_size=12,
).map(lambda fields: [act(n, **one) for n, one in enumerate(fields, 1)])
narrowed = st.fixed_dictionaries(
    {
        "subject": st.none() | st.sampled_from(SUBJECTS),
        "subject_id": st.none() | st.integers(1, 2),
        "topics": st.none() | st.frozensets(st.sampled_from("ab")),
    }
)


async def test_an_entry_tells_all_that_is_stored(tables: Database, reader: Reader) -> None:
    """Before and after as their exact text."""
    await store(tables, acts=[act(1, **FULL)])
    [entry] = (await reader.audit(limit=9)).items
    assert {name: getattr(entry, name) for name in FULL} == FULL


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_each_entry_is_met_once(request: pytest.FixtureRequest, server: str) -> None:
    """Whoever goes on before the last one they have seen, whatever they look for."""
    url = request.getfixturevalue(f"{server}_url")

    @given(acts, narrowed, st.integers(1, 4))
    @settings(deadline=None, max_examples=40)
    def check(rows: list[Row], wanted: dict[str, Any], limit: int) -> None:
        asyncio.run(_check(url, rows, wanted, limit))

    check()


async def _check(url: str, rows: list[Row], wanted: dict[str, Any], limit: int) -> None:
    met: list[int] = []
    async with database(url) as tables, reading(url) as reader:
        await store(tables, acts=rows)
        page = await reader.audit(limit=limit, **wanted)
        met += [entry.id for entry in page.items]
        while page.next:
            page = await reader.audit(limit=limit, before=page.next.id, **wanted)
            assert 1 <= len(page.items) <= limit
            met += [entry.id for entry in page.items]
    assert met == [row["id"] for row in reversed(rows) if is_wanted(row, **wanted)]


def is_wanted(
    row: Row, *, subject: str | None, subject_id: int | None, topics: frozenset[str] | None
) -> bool:
    """Return whether somebody looks for an entry, and may see it."""
    return (
        subject in {None, row["subject"]}
        and subject_id in {None, row["subject_id"]}
        and (topics is None or row["topic"] in topics)
    )


async def test_what_was_done_to_one_failure_is_found_however_old(
    tables: Database, reader: Reader
) -> None:
    """What else is looked for is found further on, by the cursor of an empty page."""
    rows = [act(n, topic="old" if n == 1 else "new") for n in range(1, SCAN_LIMIT + 2)]
    await store(tables, acts=rows)
    [entry] = (await reader.audit(limit=9, subject="failure", subject_id=1)).items
    assert entry.id == 1
    old = frozenset({"old"})
    page = await reader.audit(limit=9, topics=old)
    assert page.items == []
    assert page.next is not None
    [entry] = (await reader.audit(limit=9, topics=old, before=page.next.id)).items
    assert entry.id == 1
