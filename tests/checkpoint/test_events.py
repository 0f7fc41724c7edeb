"""A record is what the broker would deliver, and carries all that it is given."""

from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint import Checkpoint, Metadata
from app.checkpoint.attempts import Handler
from app.checkpoint.events import Event, Headers, make_record
from app.checkpoint.identity import Identifier


async def handle(_: object, __: Metadata) -> None:
    """Skip."""


HANDLER = Handler(
    handle, Checkpoint("sqlite:///:memory:")()(handle).options, agent="agent", group_id="group"
)


@given(
    value=st.none() | st.binary(),
    key=st.none() | st.binary(),
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    headers=st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple),
    milliseconds=st.none() | st.integers(0, 2**43),
    attempt=st.integers(1),
)
def test_a_handler_is_told_what_the_message_carried(  # noqa: PLR0913 - one for each field
    *,
    value: bytes | None,
    key: bytes | None,
    partition: int,
    offset: int,
    headers: Headers,
    milliseconds: int | None,
    attempt: int,
) -> None:
    """To the byte and to the millisecond."""
    record = make_record(
        value,
        topic="topic",
        partition=partition,
        offset=offset,
        key=key,
        headers=headers,
        timestamp=None if milliseconds is None else milliseconds / 1000,
    )
    assert record.timestamp == milliseconds
    event = Identifier(group_id="group", agent="agent").event(record)
    metadata = HANDLER.metadata(event, attempt)
    assert (metadata.agent, metadata.group_id, metadata.topic) == ("agent", "group", "topic")
    assert (metadata.partition, metadata.offset, metadata.key) == (partition, offset, key)
    assert (metadata.headers, metadata.attempt) == (headers, attempt)
    assert metadata.timestamp == (None if milliseconds is None else milliseconds / 1000)
    assert (metadata.checksum is None) == (value is None)


def test_no_millisecond_is_lost_to_a_float() -> None:
    """1.001 seconds are a little less than 1,001 milliseconds."""
    times = [*range(5000), *range(1767323045000, 1767323050000)]
    records = [make_record(b"", topic="topic", timestamp=time / 1000) for time in times]
    assert [record.timestamp for record in records] == times


def test_an_event_can_be_identified_unless_it_says_why_not() -> None:
    """The reason is kept for its attempt."""
    record = make_record(b"", topic="topic")
    assert Event(record, identity=b"", checksum=None).error is None
