"""Whatever a producer sends ends as a row that gives it back byte for byte, on every database."""

import asyncio
import base64
import json
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Checkpoint, Metadata, ReplayError, ack
from app.checkpoint.database import Database
from app.checkpoint.decorator import Checkpointed
from app.checkpoint.events import Headers
from app.checkpoint.models import EventRow, FailureRow
from app.checkpoint.testing import database, process
from tests.checkpoint.desk import OPERATOR, Desk
from tests.payloads import MEGABYTE, MESSAGES, PAYLOADS
from tests.servers import MariaDB, PostgreSQL

checkpoint = Checkpoint("sqlite:///:memory:", max_retries=0)


@checkpoint()
async def accept_json(_: Any, metadata: Metadata) -> Ack:
    """Acknowledge all that the default decoder takes."""
    return ack(metadata.offset, 0)


@checkpoint(decode=bytes)
async def accept_bytes(_: bytes | None, metadata: Metadata) -> Ack:
    """Acknowledge everything."""
    return ack(metadata.offset, 0)


@checkpoint(decode=bytes)
async def refuse(_: bytes | None, metadata: Metadata) -> Ack:
    """Fail at everything."""
    raise LookupError(metadata.offset)


@checkpoint(decode=bytes, transactional=True)
async def accept_in_transaction(_: bytes | None, metadata: Metadata, session: AsyncSession) -> Ack:
    """Acknowledge everything, and do something in its transaction."""
    await session.execute(select(1))
    return ack(metadata.offset, 0)


TEXT = "caf\xe9 \N{EURO SIGN} \N{HEBREW LETTER ALEF} \N{WAVING HAND SIGN}\N{FAMILY}"


@checkpoint()
async def name_everything(text: str, _: Metadata) -> Ack:
    """Acknowledge with the text wherever it may stand."""
    return ack(text, 0, text, text)


@checkpoint(describe=lambda text, _: ack(text, 0, text, text))
async def refuse_by_name(text: str, _: Metadata) -> Ack:
    """Fail with the text."""
    raise LookupError(text)


HANDLERS = [accept_json, accept_bytes, refuse]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
json_texts = st.builds(
    lambda value, ascii_only, indent: json.dumps(value, ensure_ascii=ascii_only, indent=indent),
    json_values,
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
).map(lambda text: text.encode("utf-8", "surrogatepass"))
values = st.one_of(
    st.binary(),
    json_texts,
    st.text().map(str.encode),
    st.sampled_from([value for value in PAYLOADS.values() if len(value) < 10_000]),
)
"""JSON of all kinds, what is nearly JSON, and anything else."""


async def rows_of(tables: Database, model: Any, agent: Checkpointed) -> Sequence[Any]:
    """Return the rows that an agent's events have in one of the tables."""
    wanted = select(model.__table__).where(model.agent == f"{__name__}.{agent.function.__name__}")
    async with tables.engine.connect() as connection:
        return (await connection.execute(wanted)).all()


async def read(tables: Database, model: Any, agent: Checkpointed) -> dict[int, Any]:
    """Return an agent's rows by offset."""
    return {row.offset: row for row in await rows_of(tables, model, agent)}


def value_in(row: Any) -> bytes | None:
    """Return the value that a row gives back."""
    assert row.payload is None or row.payload_raw is None
    value: bytes | None = row.payload_raw if row.payload is None else row.payload.encode()
    return value


async def test_every_message_ends_as_a_row_that_gives_it_back(tables: Database) -> None:
    """With the key, and a checksum that `b2sum -l 128` would find; JSON is there as its text."""
    messages = list(MESSAGES.values())
    for offset, message in enumerate(messages):
        for agent in HANDLERS:
            await process(
                agent,
                message.value,
                into=tables,
                offset=offset,
                key=message.key,
                headers=message.headers,
                timestamp=1.5,
            )
    for agent in HANDLERS:
        events = await read(tables, EventRow, agent)
        failures = await read(tables, FailureRow, agent)
        assert events.keys() == {
            offset for offset, message in enumerate(messages) if accepts(agent, message.value)
        }
        assert events.keys() | failures.keys() == set(range(len(messages)))
        assert events.keys().isdisjoint(failures)
        for offset, row in (events | failures).items():
            message = messages[offset]
            assert (row.key, value_in(row)) == (message.key, message.value)
            assert row.checksum == checksum(message.value)
            assert (row.payload is not None) == is_json(message.value)
        for offset, row in failures.items():
            assert headers_in(row) == messages[offset].headers


async def test_every_column_of_text_holds_what_text_there_is(tables: Database) -> None:
    """Also on a server whose own character set has not a word of it."""
    value = orjson.dumps(TEXT)
    for agent in (name_everything, refuse_by_name):
        await process(agent, value, into=tables, key=value, headers=((TEXT, value),))
    [event] = await rows_of(tables, EventRow, name_everything)
    [failure] = await rows_of(tables, FailureRow, refuse_by_name)
    for row in (event, failure):
        assert (row.entity_id, row.event_type, row.event_version) == (TEXT, TEXT, TEXT)
        assert (row.key, row.payload) == (value, value.decode())
    assert failure.error_message == TEXT
    assert headers_in(failure) == ((TEXT, value),)


@pytest.mark.parametrize("server", ["sqlite", "postgresql", "mariadb"])
def test_any_bytes_come_back(request: pytest.FixtureRequest, server: str) -> None:
    """Whether the event succeeds or fails."""
    url = request.getfixturevalue(f"{server}_url")

    @given(st.lists(values, max_size=10))
    @settings(deadline=None, max_examples=50)
    def check(sent: list[bytes]) -> None:
        asyncio.run(_check(url, sent))

    check()


async def _check(url: str, sent: list[bytes]) -> None:
    async with database(url) as tables:
        for agent in HANDLERS:
            for value in sent:
                await process(agent, value, into=tables)
            rows = [
                *await rows_of(tables, EventRow, agent),
                *await rows_of(tables, FailureRow, agent),
            ]
            given_back = {row.checksum: value_in(row) for row in rows}
            for value in sent:
                assert given_back[checksum(value)] == value


@pytest.fixture
def small_packets(mariadb: MariaDB) -> Iterator[None]:
    """Let MariaDB take no more bytes at once than it does as installed."""
    [[usual]] = mariadb.execute("SELECT @@max_allowed_packet")
    mariadb.execute("SET GLOBAL max_allowed_packet = 16777216")
    yield
    mariadb.execute(f"SET GLOBAL max_allowed_packet = {usual}")


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        pytest.param(b'"' + b"x" * 15 * MEGABYTE + b'"', True, id="just fits"),
        pytest.param(b"x" * 15 * MEGABYTE, True, id="bytes that just fit"),
        pytest.param(b'"' + b"\\\\" * 5 * MEGABYTE + b'"', False, id="does not once it is quoted"),
        pytest.param(b'"' + b"x" * 20 * MEGABYTE + b'"', False, id="too large"),
        pytest.param(b"x" * 40 * MEGABYTE, False, id="bytes that are too large"),
    ],
)
@pytest.mark.usefixtures("small_packets")
async def test_what_is_too_large_for_the_server_is_a_failure(
    mariadb_url: str, value: bytes, *, fits: bool
) -> None:
    """Its partition goes on, and the value stays with the broker: no row can hold it."""
    async with database(mariadb_url) as tables, asyncio.timeout(60):
        for agent in (*HANDLERS, accept_in_transaction):
            result = await process(agent, value, into=tables)
            succeeds = fits and accepts(agent, value)
            assert result.outcome == ("acknowledged" if succeeds else "failed")
            [row] = await rows_of(tables, EventRow if succeeds else FailureRow, agent)
            assert row.checksum == checksum(value)
            assert value_in(row) == (value if fits else None)


@pytest.mark.usefixtures("small_packets")
async def test_an_event_that_was_too_large_can_be_retried_with_another_value(
    mariadb_url: str,
) -> None:
    """Its own is not there, and must not be taken for a null value."""
    async with Desk(mariadb_url).opened() as desk:
        failure_id = await desk.fail(b"x" * 20 * MEGABYTE, "transactional")
        for run in (desk.replay.retry, desk.replay.dry_run):
            with pytest.raises(ReplayError, match="raise max_allowed_packet"):
                await run(failure_id, by=OPERATOR)
        assert desk.seen == []
        assert (await desk.failure(failure_id)).status == "open"
        again = await desk.replay.retry(failure_id, by=OPERATOR, payload=b"{}")
        assert again.outcome == "acknowledged"


async def test_json_that_is_too_deep_for_the_server_is_kept_as_bytes(
    postgresql: PostgreSQL, postgresql_url: str
) -> None:
    """Its partition goes on: a server with a small stack refuses what the decoder takes."""
    user = make_url(postgresql_url).username
    async with database(postgresql_url):
        postgresql.execute(f"ALTER ROLE {user} SET max_stack_depth = '100kB'")
    value = PAYLOADS["arrays nested 1,024 deep"]
    async with database(postgresql_url) as tables, asyncio.timeout(30):
        for agent in (accept_json, refuse):
            result = await process(agent, value, into=tables)
            assert result.outcome == "failed"
            [row] = (await read(tables, FailureRow, agent)).values()
            assert row.payload_raw == value


def accepts(agent: Checkpointed, value: bytes | None) -> bool:
    """Return whether an agent acknowledges a value."""
    if agent is accept_json:
        return value is None or is_json(value)
    return agent is not refuse


def is_json(value: bytes | None) -> bool:
    """Return whether a value is JSON to the default decoder."""
    try:
        orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return False
    return True


def checksum(value: bytes | None) -> bytes | None:
    """Return what `b2sum -l 128` says of a value."""
    return None if value is None else blake2b(value, digest_size=16).digest()


def headers_in(row: Any) -> Headers:
    """Return the headers that a failure row gives back."""
    return tuple(
        (name, value if value is None else bytes_in(value))
        for name, value in orjson.loads(row.metadata)["headers"]
    )


def bytes_in(value: str | dict[str, str]) -> bytes:
    """Return the value of a header, which stands as text or in base64."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])
