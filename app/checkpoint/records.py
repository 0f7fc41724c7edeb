"""What is told of stored events and failures, and of what operators do to them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

T = TypeVar("T")

Status: TypeAlias = Literal["open", "retrying", "resolved", "discarded"]
"""An open failure is `retrying` while a retry of it runs; of the stored ones both are open."""
Action: TypeAlias = Literal["retry", "discard"]
Outcome: TypeAlias = Literal["acknowledged", "skipped", "duplicate", "failed"]


class Cursor(NamedTuple):
    """Where a page of events or failures ends: the next one begins behind this row."""

    sort_key: int
    id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events or failures are meant; what is None does not matter, all else must be equal."""

    topic: str | None = None
    group_id: str | None = None
    agent: str | None = None
    entity_id: str | None = None
    event_type: str | None = None
    event_version: str | None = None
    checksum: bytes | None = None
    partition: int | None = None
    since: datetime | None = None
    """The earliest time, itself included: the event's own, or that of the last failed attempt."""
    until: datetime | None = None
    """The time before which it must be."""
    topics: frozenset[str] | None = None
    """The only topics that whoever asks may see; None: all."""
    status: Status | Literal["all", "unresolved"] = "unresolved"
    """Of failures only: `unresolved` are open and retrying ones."""
    error_class: str | None = None
    """Of failures only."""
    error_text: str | None = None
    """Of failures only: a part of the error message, as it stands."""
    fingerprint: bytes | None = None
    """Of failures only: that of their group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some of what was asked for, newest first."""

    items: list[T]
    next: Cursor | None
    """Where to go on; None: there is nothing more.

    A page may be shorter than asked for, or empty, and still have a next one: each looks through a
    bounded number of rows.
    """


# Not frozen, and made of their fields in order: a page has hundreds of them, and each would take
# ten times as long to make.
@dataclass(slots=True)
class EventRecord:
    """An event that was handled and acknowledged; nobody changes it."""

    id: int
    agent: str
    topic: str
    group_id: str
    partition: int
    offset: int
    key: bytes | None
    entity_id: str | None
    event_time: datetime | None
    event_type: str | None
    event_version: str | None
    checksum: bytes | None
    payload: str | None
    """Exact JSON text; None when there is a raw payload, when it was null, or when it is cut."""
    payload_raw: bytes | None
    """The value, where it is not JSON."""
    payload_size: int
    """Bytes of the value; of one that is cut on PostgreSQL, as it lies there, maybe compressed."""
    created_at: datetime
    related: list[int] = field(default_factory=list, kw_only=True)
    """Of a single event, its failures; of a single failure, its event: the same identity."""

    @property
    def payload_cut(self) -> bool:
        """Whether the payload is left out here for its size."""
        return self.payload is None and self.payload_raw is None and self.payload_size > 0


@dataclass(slots=True)
class FailureRecord(EventRecord):
    """An event whose attempts are used up; nobody changes it."""

    origin: str
    """Headers and timestamp of the message, as `failures.parse_origin` reads them."""
    error_class: str
    error_message: str
    error_backtrace: str
    """A JSON array of lines."""
    attempts: int
    occurrences: int
    first_failed_at: datetime
    last_failed_at: datetime
    fingerprint: bytes | None
    status: Status
    edited: bytes | None
    """The value that the last retry ran with instead, if it was edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many there are, up to a limit at which counting ends."""

    count: int
    capped: bool
    """Whether counting has ended at its limit, so that there may be more."""


@dataclass(slots=True, kw_only=True)
class FailureGroup:
    """Unresolved failures that one fix mends."""

    fingerprint: bytes
    agent: str
    topic: str
    error_class: str
    count: Count
    first_failed_at: datetime
    last_failed_at: datetime
    sample: FailureRecord
    """The newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts of each table's newest rows, up to a limit."""

    events: Count
    events_by_topic: dict[str, int]
    events_by_agent: dict[str, int]
    failures_by_status: dict[str, Count]
    unresolved_by_topic: dict[str, int]
    unresolved_by_agent: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """What somebody did."""

    id: int
    created_at: datetime
    actor: str
    request_id: str
    action: str
    subject: str
    subject_id: int
    operation_id: int | None
    topic: str | None
    before: str | None
    """A JSON object: what is changed, as it was."""
    after: str | None
    """The same, as it is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who does something, and what they may see."""

    name: str
    request_id: str
    topics: frozenset[str] | None = None
    """The only topics that they may see; None: all."""
    operation_id: int | None = None
    """The bulk operation that it is a part of."""
    position: int | None = None
    """Which item of that operation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of an event whose handler was to run again."""

    outcome: Outcome
    error_class: str | None = None
    """Of a dry run that failed."""
    error_message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a bulk operation goes about its selection."""

    action: Action
    ids: tuple[int, ...] | None = None
    """The failures, or None: those of the filter."""
    filter: Filter = field(default_factory=Filter)
    limit: int = 1_000
    """Most failures to select, the oldest first."""
    rate: float | None = None
    """Failures a second; None: as fast as it goes."""
    canary: tuple[int, ...] = (1, 5, 20)
    """After so many, then so many more, it is looked at how many failed."""
    failure_ratio: float = 0.2
    """The share of failed ones, of a step or of all so far, above which it stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A bulk operation and how far it is."""

    id: int
    created_at: datetime
    actor: str
    plan: Plan
    status: Literal["running", "finished", "stopped", "cancelled"]
    reason: str | None
    total: int
    outcomes: dict[str, int]
    """How many had which outcome; those that are missing are not taken up yet."""
    finished_at: datetime | None
