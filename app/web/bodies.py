"""How stored events, failures and what was done to them are told as JSON."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

import orjson

from app.checkpoint import (
    AuditEntry,
    Count,
    EventRecord,
    FailureGroup,
    FailureRecord,
    Operation,
    Replayed,
    Stats,
)
from app.web.masking import HIDDEN, Mask
from app.web.shapes import (
    AuditBody,
    Bytes,
    DiscardedBody,
    DryRunBody,
    EventBody,
    FailureBody,
    GroupBody,
    MetadataBody,
    OperationBody,
    PreviewBody,
    RetriedBody,
    RowBody,
    StatsBody,
    TotalBody,
)

T = TypeVar("T")
B = TypeVar("B", bound=RowBody)

PAGE_BYTES = 2 * 1024 * 1024
"""A page is not longer, but for the parts of its rows that are never left out."""
MESSAGE_CUT = 500
"""Characters of an error message in a row whose details are cut."""


class Bodies:
    """Tells what is stored, with what is to be masked hidden first."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def event(self, record: EventRecord, *, single: bool = False) -> EventBody:
        """Tell of an event; of a single one, also the failures of the same event."""
        body = cast("EventBody", self._row(record))
        if single:
            body["failure_ids"] = record.related
        return body

    def failure(self, record: FailureRecord, *, single: bool = False) -> FailureBody:
        """Tell of a failure; of a single one, also its event."""
        message, backtrace = self._error(record)
        told = {
            "metadata": self._metadata(record),
            "error_class": record.error_class,
            "error_message": message,
            "error_backtrace": backtrace,
            "attempts": record.attempts,
            "occurrences": record.occurrences,
            "first_failed_at": time_text(record.first_failed_at),
            "last_failed_at": time_text(record.last_failed_at),
            "status": record.status,
            "fingerprint": _hex(record.fingerprint),
        }
        body = cast("FailureBody", self._row(record) | told)
        if single:
            body["event_ids"] = record.related
        return body

    def group(self, group: FailureGroup) -> GroupBody:
        """Tell of failures that one fix mends."""
        return {
            "fingerprint": group.fingerprint.hex(),
            "agent": group.agent,
            "topic": group.topic,
            "error_class": group.error_class,
            **total(group.count),
            "first_failed_at": time_text(group.first_failed_at),
            "last_failed_at": time_text(group.last_failed_at),
            "sample": self.failure(group.sample),
        }

    def entry(self, entry: AuditEntry) -> AuditBody:
        """Tell what somebody did."""
        return {
            "id": entry.id,
            "created_at": time_text(entry.created_at),
            "actor": entry.actor,
            "request_id": entry.request_id,
            "action": entry.action,
            "subject": entry.subject,
            "subject_id": entry.subject_id,
            "operation_id": entry.operation_id,
            "topic": entry.topic,
            "before": self._state(entry.before),
            "after": self._state(entry.after),
        }

    def preview(self, count: Count, sample: list[FailureRecord]) -> PreviewBody:
        """Tell what a bulk operation would select."""
        return {
            "dry_run": True,
            **total(count),
            "sample": [self.failure(record) for record in sample],
        }

    def dry_run(
        self, replayed: Replayed, payload: bytes | None, failure: FailureRecord
    ) -> DryRunBody:
        """Tell what a retry of a failure, with its own or another payload, would have come to."""
        message = replayed.error_message
        if message is not None:
            message = self._text(message, failure)
            if payload is not None:
                message = self._mask.text(message, secrets_of=payload.decode(errors="replace"))
        return {
            "dry_run": True,
            "outcome": replayed.outcome,
            "error_class": replayed.error_class,
            "error_message": message,
        }

    def _row(self, record: EventRecord) -> RowBody:
        body: RowBody = {
            "id": record.id,
            "agent": record.agent,
            "topic": record.topic,
            "group_id": record.group_id,
            "partition": record.partition,
            "offset": record.offset,
            "key": None,
            "entity_id": record.entity_id,
            "event_time": _time(record.event_time),
            "event_type": record.event_type,
            "event_version": record.event_version,
            "checksum": _hex(record.checksum),
            "payload": None,
            "payload_size": record.payload_size,
            "payload_cut": record.payload_cut,
            "details_cut": False,
            "created_at": time_text(record.created_at),
        }
        self._add_key(body, record)
        self._add_payload(body, record)
        return body

    def _add_key(self, body: RowBody, record: EventRecord) -> None:
        key = self._key(record)
        if isinstance(key, dict):
            body["key"], body["key_encoding"] = key["base64"], "base64"
        else:
            body["key"] = key

    def _key(self, record: EventRecord) -> str | Bytes | None:
        if record.key is None:
            return None
        try:
            return self._text(record.key.decode(), record)
        except UnicodeDecodeError:
            return HIDDEN if self._mask else {"base64": _base64(record.key)}

    def _add_payload(self, body: RowBody, record: EventRecord) -> None:
        if record.payload is not None:
            body["payload"] = orjson.Fragment(self._mask.payload(record.payload))
        elif record.payload_raw is not None and self._mask:
            # What is in it is not known to us, so neither is what would have to be masked.
            body["payload"] = HIDDEN
        elif record.payload_raw is not None:
            body["payload"] = _base64(record.payload_raw)
            body["payload_encoding"] = "base64"

    def _metadata(self, record: FailureRecord) -> MetadataBody:
        origin = orjson.loads(record.origin)
        return {
            "agent": record.agent,
            "topic": record.topic,
            "group_id": record.group_id,
            "partition": record.partition,
            "offset": record.offset,
            "key": self._key(record),
            "headers": self._mask.pairs(origin["headers"]),
            "timestamp": origin["timestamp"],
            "checksum": _hex(record.checksum),
            "retry_count": record.attempts - 1,
        }

    def _error(self, record: FailureRecord) -> tuple[str, list[str]]:
        lines = [self._text(line, record) for line in orjson.loads(record.error_backtrace)]
        return self._text(record.error_message, record), lines

    def _text(self, text: str, record: EventRecord) -> str:
        """Hide what the payload says in masked fields, wherever it is repeated."""
        if self._mask and record.payload is None and (record.payload_cut or record.payload_raw):
            return HIDDEN
        return self._mask.text(text, secrets_of=record.payload)

    def _state(self, state: str | None) -> Any:
        told = state and orjson.loads(self._mask.payload(state))
        if self._mask and told and "error_message" in told:
            # Nobody knows here what the payload was.
            told["error_message"] = HIDDEN
        return told


def page(bodies: Iterable[B], *, most: int = PAGE_BYTES) -> bytes:
    """Return a JSON array; once it is long, the rows that follow are cut down, none is left out."""
    rows, size = [], 0
    for body in bodies:
        row = orjson.dumps(body)
        if size + len(row) > most:
            row = orjson.dumps(_cut(body))
        rows.append(row)
        size += len(row)
    return b"[" + b",".join(rows) + b"]"


def total(count: Count) -> TotalBody:
    """Tell how many there are."""
    return {"count": count.count, "capped": count.capped}


def stats(told: Stats) -> StatsBody:
    """Tell how many there are of what."""
    return {
        "events": {
            **total(told.events),
            "by_topic": told.events_by_topic,
            "by_agent": told.events_by_agent,
        },
        "failures": {
            "by_status": {name: total(count) for name, count in told.failures_by_status.items()},
            "unresolved_by_topic": told.unresolved_by_topic,
            "unresolved_by_agent": told.unresolved_by_agent,
        },
    }


def retried(replayed: Replayed) -> RetriedBody:
    """Tell what became of an event whose handler ran again."""
    return {"acknowledged": replayed.outcome == "acknowledged", "outcome": replayed.outcome}


def discarded() -> DiscardedBody:
    """Tell that a failure is discarded."""
    return {"acknowledged": True}


def operation(told: Operation) -> OperationBody:
    """Tell of a bulk operation."""
    return {
        "id": told.id,
        "created_at": time_text(told.created_at),
        "actor": told.actor,
        "action": told.plan.action,
        "status": told.status,
        "reason": told.reason,
        "total": told.total,
        "done": sum(told.outcomes.values()),
        "outcomes": told.outcomes,
        "finished_at": _time(told.finished_at),
    }


def time_text(time: datetime) -> str:
    """Return a time as ISO-8601 in UTC, with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(body: RowBody) -> dict[str, Any]:
    cut: dict[str, Any] = {**body, "key": None, "details_cut": True}
    cut.pop("key_encoding", None)
    cut.pop("payload_encoding", None)
    if cut["payload"] is not None:
        cut |= {"payload": None, "payload_cut": True}
    if "metadata" in cut:
        cut["metadata"] = cut["metadata"] | {"key": None, "headers": []}
        cut |= {"error_message": cut["error_message"][:MESSAGE_CUT], "error_backtrace": []}
    return cut


def _time(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)


def _hex(digest: bytes | None) -> str | None:
    return None if digest is None else digest.hex()


def _base64(value: bytes) -> str:
    return b64encode(value).decode()
