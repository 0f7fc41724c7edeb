"""Two deliveries have one identity when they are one event, and only then."""

import shutil
import subprocess
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Ack, Checkpoint, Metadata, ack
from app.checkpoint.events import make_record
from app.checkpoint.identity import IDENTITY_SIZE, Identifier, Identity, checksum
from app.checkpoint.testing import database, process
from tests.availability import missing

checkpoint = Checkpoint("sqlite:///:memory:")


class Delivery(NamedTuple):
    """Everything that an identity may be made of."""

    group_id: str
    topic: str
    agent: str
    kind: str
    value: bytes | None
    key: bytes | None
    partition: int
    offset: int
    name: str | bytes

    @property
    def identity(self) -> bytes:
        """Return the identity that the engine gives to this delivery."""
        record = make_record(
            self.value,
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            key=self.key,
        )
        kind = "payload" if self.kind == "named" else self.kind
        identifier = Identifier(group_id=self.group_id, agent=self.agent, kind=kind)
        event = identifier.event(record)
        named = self.kind == "named" and self.value is not None
        return identifier.named(event, self.name) if named else event.identity

    @property
    def meaning(self) -> tuple[object, ...]:
        """Return what makes this delivery the event that it is."""
        scope = self.group_id, self.topic, self.agent
        if self.value is None or self.kind == "offset":
            return *scope, "at", self.partition, self.offset
        if self.kind == "named":
            name = self.name.encode() if isinstance(self.name, str) else self.name
            return *scope, "named", name
        return *scope, self.kind, self.value, self.key if self.kind != "payload" else None


# Few and short, so that neighbours are drawn that differ only in where one part ends.
NAMES = st.sampled_from(["", "a", "aa"])
BYTES = st.sampled_from([b"", b"-", b"+"])
NUMBERS = st.sampled_from([1, 11, 111])
LOOKALIKES = ["a", b"a", b"o1:1", b"p" + (checksum(b"") or b"")]
DELIVERIES = st.builds(
    Delivery,
    group_id=NAMES,
    topic=NAMES,
    agent=NAMES,
    kind=st.sampled_from(["payload", "key_and_payload", "offset", "named"]),
    value=st.none() | BYTES,
    key=st.none() | BYTES,
    partition=NUMBERS,
    offset=NUMBERS,
    name=st.sampled_from(LOOKALIKES),
)


@given(
    one=DELIVERIES,
    other=DELIVERIES,
    differing=st.sets(st.sampled_from(Delivery._fields), max_size=4),
)
@settings(deadline=None, max_examples=2000)
def test_two_deliveries_share_an_identity_when_they_mean_one_event(
    one: Delivery, other: Delivery, differing: set[str]
) -> None:
    """No end of one part can be taken for the beginning of the next."""
    other = one._replace(**{name: getattr(other, name) for name in differing})
    assert (one.identity == other.identity) == (one.meaning == other.meaning)
    assert len(one.identity) == IDENTITY_SIZE


@pytest.mark.parametrize("value", [b"", b'{"data":"A"}', bytes(range(256)) * 4096])
def test_the_checksum_is_what_b2sum_prints(value: bytes) -> None:
    """An operator can compare it with that of a file."""
    if shutil.which("b2sum") is None:
        missing("b2sum is not on PATH")
    run = subprocess.run(["b2sum", "-l", "128"], input=value, capture_output=True, check=True)
    digest = checksum(value)
    assert digest is not None
    assert run.stdout.decode().split()[0] == digest.hex()


class Agent:
    """An agent that remembers what it was given."""

    def __init__(self, identity: Identity) -> None:
        self.seen: list[Any] = []
        self.checksums: list[str | None] = []
        self.handler = checkpoint(identity=identity, max_retries=0)(self._handle)

    async def _handle(self, payload: Any, metadata: Metadata) -> Ack:
        self.seen.append(payload)
        self.checksums.append(metadata.checksum)
        return ack(metadata.offset, 0)


def by_id(payload: Any, _: Metadata) -> str:
    """Name an event by a field of its payload."""
    return str(payload["id"])


def by_key(_: Any, metadata: Metadata) -> bytes:
    """Name an event by its key."""
    return metadata.key or b"-"


A, B = b'{"id": 1, "try": 1}', b'{"id": 1, "try": 2}'


@pytest.mark.parametrize(
    ("identity", "first", "second", "outcome"),
    [
        ("payload", (A, b"k", 1), (A, b"other", 2), "duplicate"),
        ("payload", (A, b"k", 1), (B, b"k", 1), "acknowledged"),
        ("key_and_payload", (A, b"k", 1), (A, b"k", 2), "duplicate"),
        ("key_and_payload", (A, b"k", 1), (A, b"other", 1), "acknowledged"),
        ("key_and_payload", (A, None, 1), (A, b"", 1), "acknowledged"),
        ("offset", (A, b"k", 1), (B, b"k", 1), "duplicate"),
        ("offset", (A, b"k", 1), (A, b"k", 2), "acknowledged"),
        (by_id, (A, b"k", 1), (B, b"k", 2), "duplicate"),
        (by_key, (A, b"k", 1), (B, b"k", 2), "duplicate"),
        (by_key, (A, b"k", 1), (A, b"other", 2), "acknowledged"),
    ],
)
async def test_an_agent_chooses_what_makes_two_messages_one_event(
    identity: Identity,
    first: tuple[bytes, bytes | None, int],
    second: tuple[bytes, bytes | None, int],
    outcome: str,
) -> None:
    """By payload, by key and payload, by offset, or by a name of its own, text or bytes."""
    agent = Agent(identity)
    async with database() as into:
        for value, key, offset in (first, second):
            result = await process(agent.handler, value, into=into, key=key, offset=offset)
    assert result.outcome == outcome
    assert len(agent.seen) == (1 if outcome == "duplicate" else 2)


@pytest.mark.parametrize("identity", ["payload", "key_and_payload", "offset", by_id])
async def test_a_tombstone_is_named_by_its_offset(identity: Identity) -> None:
    """Two null values are two events, and one that comes again is a duplicate."""
    agent = Agent(identity)
    async with database() as into:
        results = [
            await process(agent.handler, None, into=into, offset=offset) for offset in (1, 2, 1)
        ]
    assert [result.outcome for result in results] == ["acknowledged", "acknowledged", "duplicate"]
    assert agent.seen == agent.checksums == [None, None]


async def test_equal_payloads_of_other_topics_and_agents_are_other_events() -> None:
    """Two agents may read one topic, and one agent two."""
    agent = Agent("payload")

    async def other(_: Any, metadata: Metadata) -> Ack:
        return ack(metadata.offset, 0)

    async with database() as into:
        results = [
            await process(agent.handler, A, into=into, topic="here"),
            await process(agent.handler, A, into=into, topic="there"),
            await process(checkpoint()(other), A, into=into, topic="here"),
            await process(agent.handler, A, into=into, topic="here"),
        ]
    expected = ["acknowledged", "acknowledged", "acknowledged", "duplicate"]
    assert [result.outcome for result in results] == expected


@pytest.mark.parametrize(
    ("name", "error"),
    [(None, TypeError), (1, TypeError), ("", ValueError), (b"", ValueError), ({}, TypeError)],
    ids=repr,
)
async def test_a_name_that_names_nothing_fails_the_event(name: Any, error: type[Exception]) -> None:
    """It must not make one event of all those that lack a name."""
    agent = Agent(lambda _, __: name)
    async with database() as into:
        result = await process(agent.handler, A, into=into)
        again = await process(agent.handler, A, into=into)
    assert (result.outcome, result.attempts, type(result.error)) == ("failed", 1, error)
    assert again.outcome == "duplicate"
    assert agent.seen == []


async def test_a_name_of_half_a_surrogate_pair_is_a_name() -> None:
    """JSON can carry one, and the identity is a digest: no database sees it."""
    agent = Agent(lambda payload, _: str(payload) + "\ud800")
    assert (await process(agent.handler, A)).outcome == "acknowledged"
