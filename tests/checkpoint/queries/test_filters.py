"""A filter means its characters, whatever they mean to a database, and a scope is never left."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Count, Filter, NotFoundError, Page, Reader
from app.checkpoint.database import Database
from app.checkpoint.testing import database
from tests.checkpoint.queries.rows import act, event, failure, reading, store

List: TypeAlias = Callable[..., Awaitable[Page[Any]]]

ODD = [
    *("%", "_", "a%", "a_", "ab", "aB", "a ", "a", "A", "\\", "\\%", "\\\\", "'", "''", '"', "`"),
    *("' OR '1'='1", "'; DROP TABLE checkpoint_events; --", "%s", "%(a)s", ":a", "$1", "?", "{}"),
    *("ä", "a\N{COMBINING DIAERESIS}", "Ä", "ß", "ss", "\N{WAVING HAND SIGN}", "\n", "\t", " "),
    *(
        "null",
        "None",
        "0",
        "00",
        "*",
        "[a]",
        "a--b",
        "/* */",
        "#",
        "\x7f",
        "\N{CYRILLIC SMALL LETTER A}",
    ),
]
TEXT_NAMES = ["topic", "group_id", "agent", "entity_id", "event_type", "event_version"]
TEXTS = st.text("aA%_\\'ä\N{WAVING HAND SIGN} \n*[", max_size=4)


async def found(ask: List, where: Filter) -> list[int]:
    """Return the ids of what a filter finds."""
    return [item.id for item in (await ask(where, limit=200)).items]


async def test_names_are_compared_character_by_character(tables: Database, reader: Reader) -> None:
    """Each odd one finds its own row and no other."""
    texts = list(enumerate(ODD, 1))
    named = {n: dict.fromkeys(TEXT_NAMES, text) for n, text in texts}
    await store(
        tables,
        events=[event(n, **named[n]) for n, _ in texts],
        failures=[failure(n, **named[n], error_class=text) for n, text in texts],
    )
    for number, text in texts:
        for name in TEXT_NAMES:
            where = Filter(**{name: text})  # type: ignore[arg-type]
            assert await found(reader.events, where) == [number], (name, text)
            assert await found(reader.failures, where) == [number], (name, text)
        where = Filter(topics=frozenset([text]))
        assert await found(reader.events, where) == [number], text
        assert await found(reader.failures, where) == [number], text
        assert await found(reader.failures, Filter(error_class=text)) == [number], text


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_a_text_is_found_where_it_stands(request: pytest.FixtureRequest, server: str) -> None:
    """As in Python: no character stands for another one, nor for several."""
    url = request.getfixturevalue(f"{server}_url")

    @given(st.lists(TEXTS, max_size=20), TEXTS)
    @settings(deadline=None, max_examples=50)
    def check(messages: list[str], text: str) -> None:
        asyncio.run(_check(url, messages, text))

    check()


async def _check(url: str, messages: list[str], text: str) -> None:
    async with database(url) as tables, reading(url) as reader:
        rows = [failure(n, error_message=message) for n, message in enumerate(messages, 1)]
        await store(tables, failures=rows)
        wanted = [n for n, message in enumerate(messages, 1) if text in message]
        where = Filter(error_text=text)
        assert sorted(await found(reader.failures, where)) == wanted
        assert await reader.count_failures(where) == Count(count=len(wanted), capped=False)


@pytest.mark.parametrize(
    ("topics", "seen"), [(None, [1, 2, 3]), ({"a", "b"}, [1, 2]), ({"A"}, [3]), (set(), [])]
)
async def test_what_is_of_other_topics_is_not_shown(
    tables: Database, reader: Reader, topics: set[str] | None, seen: list[int]
) -> None:
    """Not in a list, nor by its id, in a count, a group or the audit; no topic: nothing at all."""
    scope = None if topics is None else frozenset(topics)
    rows = dict(enumerate("abA", 1))
    await store(
        tables,
        events=[event(n, topic=topic) for n, topic in rows.items()],
        failures=[
            failure(n, topic=topic, fingerprint=bytes([n] * 16)) for n, topic in rows.items()
        ],
        acts=[act(n, topic=topic) for n, topic in rows.items()],
    )
    where = Filter(topics=scope)
    assert await found(reader.events, where) == seen[::-1]
    assert await found(reader.failures, where) == seen[::-1]
    assert await reader.count_failures(where) == Count(count=len(seen), capped=False)
    groups = await reader.groups(limit=9, topics=scope)
    assert [group.sample.id for group in groups] == seen[::-1]
    assert [entry.id for entry in (await reader.audit(limit=9, topics=scope)).items] == seen[::-1]
    told = await reader.stats(topics=scope)
    by_topic = {rows[n]: 1 for n in seen}
    assert (told.events_by_topic, told.unresolved_by_topic) == (by_topic, by_topic)
    assert told.events.count == told.failures_by_status["open"].count == len(seen)
    for ask in (reader.event, reader.failure):
        assert await _visible(ask, rows, scope) == seen


async def _visible(
    ask: Callable[..., Awaitable[Any]], ids: Any, scope: frozenset[str] | None
) -> list[int]:
    visible = []
    for row_id in ids:
        try:
            visible.append((await ask(row_id, topics=scope)).id)
        except NotFoundError:
            continue
    return visible


async def test_a_scope_and_a_filter_narrow_each_other(tables: Database, reader: Reader) -> None:
    """Whoever asks for another topic than theirs finds nothing."""
    await store(tables, events=[event(1, topic="a"), event(2, topic="b")])
    mine = frozenset({"a"})
    assert await found(reader.events, Filter(topic="a", topics=mine)) == [1]
    assert await found(reader.events, Filter(topic="b", topics=mine)) == []
