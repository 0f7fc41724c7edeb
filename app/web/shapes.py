"""The JSON that goes over the wire; the OpenAPI document is made from these types."""

from typing import Annotated, Any, Literal, NotRequired, TypedDict

Time = Annotated[str, {"format": "date-time"}]
Hex = Annotated[str, {"pattern": "^[0-9a-f]{32}$"}]
Text = Annotated[str, {"pattern": r"^[^\u0000]+$"}]
TimeOrNull = Annotated[str | None, {"format": "date-time"}]
HexOrNull = Annotated[str | None, {"pattern": "^[0-9a-f]{32}$"}]
Id = Annotated[int, {"minimum": 1, "maximum": 2**63 - 1}]
Natural = Annotated[int, {"minimum": 0}]
Outcome = Literal["acknowledged", "skipped", "duplicate", "failed"]


class Bytes(TypedDict):
    """Bytes that are not text."""

    base64: str


class RowBody(TypedDict):
    """What events and failures have in common."""

    id: Id
    agent: str
    topic: str
    group_id: str
    partition: Natural
    offset: int
    key: Annotated[str | None, "The message's key."]
    key_encoding: NotRequired[Annotated[Literal["base64"], "There when the key is not text."]]
    entity_id: str | None
    event_time: TimeOrNull
    event_type: str | None
    event_version: str | None
    checksum: Annotated[HexOrNull, "BLAKE2b of the value, as `b2sum -l 128` gives it."]
    payload: Annotated[Any, "The JSON value itself, with fields masked as configured."]
    payload_encoding: NotRequired[
        Annotated[Literal["base64"], "There when the value is not JSON: it stands as base64."]
    ]
    payload_size: Annotated[Natural, "Bytes of the value as it is stored."]
    payload_cut: Annotated[bool, "Whether the payload is left out here for its size."]
    details_cut: Annotated[
        bool, "Whether key, headers and backtrace are left out here for the size of the page."
    ]
    created_at: Time


class EventBody(RowBody):
    """An event that was handled and acknowledged."""

    failure_ids: NotRequired[Annotated[list[Id], "Failures of the same event; not in lists."]]


class MetadataBody(TypedDict):
    """Where a failed event came from."""

    agent: str
    topic: str
    group_id: str
    partition: Natural
    offset: int
    key: str | Bytes | None
    headers: Annotated[list[list[Any]], "Pairs of a name and a text, `Bytes` or null."]
    timestamp: Annotated[float | None, "Seconds since the epoch."]
    checksum: HexOrNull
    retry_count: Annotated[int, "Attempts after the first."]


class FailureBody(RowBody):
    """An event whose attempts were used up."""

    metadata: MetadataBody
    error_class: str
    error_message: str
    error_backtrace: Annotated[list[str], "Stack frames, the innermost last, then causes."]
    attempts: int
    occurrences: Annotated[int, "Deliveries of the event whose attempts were used up."]
    first_failed_at: Time
    last_failed_at: Time
    status: Literal["open", "retrying", "resolved", "discarded"]
    fingerprint: Annotated[HexOrNull, "That of its group: failures that one fix mends."]
    event_ids: NotRequired[Annotated[list[Id], "Where it has succeeded since; not in lists."]]
    edited_payload: NotRequired[
        Annotated[Any, "What the last retry ran with instead of the payload; not in lists."]
    ]
    edited_payload_encoding: NotRequired[
        Annotated[Literal["base64"], "There when that is not JSON: it stands as base64."]
    ]


class TotalBody(TypedDict):
    """How many there are."""

    count: Natural
    capped: Annotated[bool, "Whether counting ended at `count`, and there are more."]


class GroupBody(TypedDict):
    """Unresolved failures that one fix mends."""

    fingerprint: Hex
    agent: str
    topic: str
    error_class: str
    count: Natural
    capped: bool
    first_failed_at: Time
    last_failed_at: Time
    sample: Annotated[FailureBody, "The newest."]


class EventStats(TotalBody):
    """Counts of events; by topic and agent among the newest ones."""

    by_topic: dict[str, int]
    by_agent: dict[str, int]


class FailureStats(TypedDict):
    """Counts of failures; by topic and agent among the newest unresolved ones."""

    by_status: dict[str, TotalBody]
    unresolved_by_topic: dict[str, int]
    unresolved_by_agent: dict[str, int]


class StatsBody(TypedDict):
    """Counts, up to a limit each."""

    events: EventStats
    failures: FailureStats


class AuditBody(TypedDict):
    """What somebody did."""

    id: Id
    created_at: Time
    actor: str
    request_id: str
    action: str
    subject: Annotated[str, "event, failure or operation"]
    subject_id: int
    operation_id: Annotated[int | None, "The bulk operation that it was a part of."]
    topic: str | None
    before: Annotated[Any, "What was changed, as it was."]
    after: Annotated[Any, "The same, as it was then."]


class RetriedBody(TypedDict):
    """What became of an event whose handler ran again."""

    acknowledged: bool
    outcome: Outcome


class DryRunBody(TypedDict):
    """What a retry would have come to; it was taken back."""

    dry_run: Literal[True]
    outcome: Outcome
    error_class: str | None
    error_message: str | None


class DiscardedBody(TypedDict):
    """The failure is discarded."""

    acknowledged: Literal[True]


class PreviewBody(TotalBody):
    """What a bulk operation would select."""

    dry_run: Literal[True]
    sample: list[FailureBody]


class OperationBody(TypedDict):
    """A bulk operation and how far it is."""

    id: Id
    created_at: Time
    actor: str
    action: Literal["retry", "discard"]
    status: Literal["running", "finished", "stopped", "cancelled"]
    reason: Annotated[str | None, "Why it was stopped."]
    total: Annotated[Natural, "Failures that were selected; the selection does not change."]
    done: Natural
    outcomes: Annotated[dict[str, int], "How many had which outcome."]
    finished_at: TimeOrNull


class HealthBody(TypedDict):
    """Whether the service can do its work, and each thing that was looked at."""

    status: Literal["ok", "unavailable"]
    checks: Annotated[dict[str, str], "`ok`, or a sentence that says what is wrong."]


class LiveBody(TypedDict):
    """The process answers."""

    status: Literal["ok"]


class ErrorBody(TypedDict):
    """Why a request was not answered as asked."""

    error: Literal[True]
    message: str
    request_id: str
    status: NotRequired[Annotated[str, "Of a conflict: the state that it is in."]]
    error_class: NotRequired[Annotated[str, "Of a handler that raised."]]


class RetryRequest(TypedDict, total=False):
    """How to retry: as it is, with another value, or only to see what would happen."""

    payload: Annotated[Any, "Another value, as JSON: its exact text is what the handler gets."]
    payload_base64: Annotated[str, {"format": "byte"}]
    dry_run: bool


class Selection(TypedDict, total=False):
    """Which unresolved failures: those to which all of it applies."""

    topic: Text
    group_id: Text
    agent: Text
    entity_id: Text
    event_type: Text
    event_version: Text
    checksum: Annotated[str, {"pattern": "^[0-9a-fA-F]{32}$"}]
    partition: Annotated[int, {"minimum": 0, "maximum": 2**31 - 1}]
    since: Time
    until: Time
    error_class: Text
    error: Annotated[Text, "A part of the error message, as it stands."]
    group: Annotated[str, {"pattern": "^[0-9a-fA-F]{32}$"}]


class BulkRequest(TypedDict, total=False):
    """Many failures, by their ids or by a filter: one of the two."""

    ids: Annotated[list[Id], {"minItems": 1, "maxItems": 1000, "uniqueItems": True}]
    filter: Selection
    dry_run: Annotated[bool, "Only count them, and show a sample."]
    limit: Annotated[int, {"minimum": 1, "maximum": 10_000}]
    rate: Annotated[
        float | None,
        {"exclusiveMinimum": 0, "maximum": 1000},
        "Failures a second; null: as fast as it goes.",
    ]
    canary: Annotated[
        list[Annotated[int, {"minimum": 1, "maximum": 10_000}]],
        {"maxItems": 10},
        "After so many, then so many more, it is looked at how many failed.",
    ]
    failure_ratio: Annotated[float, {"minimum": 0, "maximum": 1}]


RULES: dict[type, dict[str, Any]] = {
    RetryRequest: {"not": {"required": ["payload", "payload_base64"]}},
    BulkRequest: {"oneOf": [{"required": ["ids"]}, {"required": ["filter"]}]},
}
"""Which members go together, where a type cannot say it."""
