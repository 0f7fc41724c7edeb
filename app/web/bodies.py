"""How stored events, failures and what was done to them are told as JSON."""

from typing import Any, cast

import orjson

from app.checkpoint import (
    AuditEntry,
    Count,
    EventRecord,
    FailureGroup,
    FailureRecord,
    Replayed,
)
from app.web.masking import HIDDEN, Mask
from app.web.pages import dump_page
from app.web.reports import total
from app.web.shapes import (
    AuditBody,
    Bytes,
    DryRunBody,
    EventBody,
    FailureBody,
    GroupBody,
    MetadataBody,
    PreviewBody,
    RowBody,
)
from app.web.texts import base64_text, hex_or_null, time_or_null, time_text


class Bodies:
    """Tells what is stored, with what is to be masked hidden first."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._hides = bool(mask)

    def event(self, record: EventRecord, *, single: bool = False) -> EventBody:
        """Tell of an event; of a single one, also the failures of the same event."""
        body = cast("EventBody", self._row(record, self._key(record)))
        if single:
            body["failure_ids"] = record.related
        return body

    def failure(self, record: FailureRecord, *, single: bool = False) -> FailureBody:
        """Tell of a failure; of a single one, also its event."""
        key, (message, backtrace) = self._key(record), self._error(record)
        body = cast("FailureBody", self._row(record, key))
        body |= {
            "metadata": self._metadata(record, key),
            "error_class": record.error_class,
            "error_message": message,
            "error_backtrace": backtrace,
            "attempts": record.attempts,
            "occurrences": record.occurrences,
            "first_failed_at": time_text(record.first_failed_at),
            "last_failed_at": time_text(record.last_failed_at),
            "status": record.status,
            "fingerprint": hex_or_null(record.fingerprint),
        }
        if single:
            body["event_ids"] = record.related
            self._add_edited(body, record)
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
        rows = orjson.Fragment(dump_page(map(self.failure, sample)))
        return {
            "dry_run": True,
            **total(count),
            "sample": cast("list[FailureBody]", rows),
        }

    def dry_run(
        self, replayed: Replayed, payload: bytes | None, failure: FailureRecord
    ) -> DryRunBody:
        """Tell what a retry of a failure, with its own or another payload, would have come to."""
        message = replayed.error_message
        if message is not None:
            message = self._text(message, failure)
            if payload is not None:
                message = self._mask.error(message, payload)
        return {
            "dry_run": True,
            "outcome": replayed.outcome,
            "error_class": replayed.error_class,
            "error_message": message,
        }

    def _row(self, record: EventRecord, key: str | Bytes | None) -> RowBody:
        body: RowBody = {
            "id": record.id,
            "agent": record.agent,
            "topic": record.topic,
            "group_id": record.group_id,
            "partition": record.partition,
            "offset": record.offset,
            "key": None,
            "entity_id": record.entity_id,
            "event_time": time_or_null(record.event_time),
            "event_type": record.event_type,
            "event_version": record.event_version,
            "checksum": hex_or_null(record.checksum),
            "payload": None,
            "payload_size": record.payload_size,
            "payload_cut": record.payload_cut,
            "details_cut": False,
            "created_at": time_text(record.created_at),
        }
        if isinstance(key, dict):
            body["key"], body["key_encoding"] = key["base64"], "base64"
        else:
            body["key"] = key
        self._add_payload(body, record)
        return body

    def _key(self, record: EventRecord) -> str | Bytes | None:
        if record.key is None:
            return None
        try:
            return self._text(record.key.decode(), record)
        except UnicodeDecodeError:
            return HIDDEN if self._hides else {"base64": base64_text(record.key)}

    def _add_payload(self, body: RowBody, record: EventRecord) -> None:
        if record.payload is not None:
            body["payload"] = orjson.Fragment(self._mask.payload(record.payload))
        elif record.payload_raw is not None and self._hides:
            # What is in it is not known to us, so neither is what would have to be masked.
            body["payload"] = HIDDEN
        elif record.payload_raw is not None:
            body["payload"] = base64_text(record.payload_raw)
            body["payload_encoding"] = "base64"

    def _add_edited(self, body: FailureBody, record: FailureRecord) -> None:
        if record.edited is None:
            return
        try:
            orjson.loads(record.edited)
        except orjson.JSONDecodeError:
            body["edited_payload"] = HIDDEN if self._hides else base64_text(record.edited)
            if not self._hides:
                body["edited_payload_encoding"] = "base64"
        else:
            edited = self._mask.payload(record.edited.decode())
            body["edited_payload"] = orjson.Fragment(edited)

    def _metadata(self, record: FailureRecord, key: str | Bytes | None) -> MetadataBody:
        origin = orjson.loads(record.origin)
        return {
            "agent": record.agent,
            "topic": record.topic,
            "group_id": record.group_id,
            "partition": record.partition,
            "offset": record.offset,
            "key": key,
            "headers": self._mask.pairs(origin["headers"]),
            "timestamp": origin["timestamp"],
            "checksum": hex_or_null(record.checksum),
            "retry_count": record.attempts - 1,
        }

    def _error(self, record: FailureRecord) -> tuple[str, Any]:
        message, backtrace = record.error_message, record.error_backtrace
        if not self._hides and self._mask.is_clean(message) and self._mask.is_clean(backtrace):
            return message, orjson.Fragment(backtrace)
        lines = [self._text(line, record) for line in orjson.loads(backtrace)]
        return self._text(message, record), lines

    def _text(self, text: str, record: EventRecord) -> str:
        """Hide what the payload says in masked fields, wherever it is repeated."""
        if self._hides and record.payload is None and (record.payload_cut or record.payload_raw):
            return HIDDEN
        text = self._mask.text(text, secrets_of=record.payload)
        if isinstance(record, FailureRecord) and record.edited is not None:
            # The error may be of a retry that ran with this instead.
            text = self._mask.error(text, record.edited)
        return text

    def _state(self, state: str | None) -> Any:
        told = state and orjson.loads(self._mask.payload(state))
        if self._hides and told and "error_message" in told:
            # Nobody knows here what the payload was.
            told["error_message"] = HIDDEN
        return told
