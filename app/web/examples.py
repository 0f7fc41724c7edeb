"""What answers and requests look like: made by what makes the real ones."""

from datetime import UTC, datetime
from typing import Any

import orjson

from app.checkpoint import (
    AuditEntry,
    Count,
    EventRecord,
    FailureGroup,
    FailureRecord,
    Operation,
    Plan,
    Replayed,
    Stats,
)
from app.web import reports
from app.web.bodies import Bodies
from app.web.masking import Mask
from app.web.shapes import (
    AuditBody,
    BulkRequest,
    DiscardedBody,
    DryRunBody,
    EventBody,
    FailureBody,
    GroupBody,
    HealthBody,
    LiveBody,
    OperationBody,
    PreviewBody,
    RetriedBody,
    RetryRequest,
    StatsBody,
    TotalBody,
)

TOLD = Bodies(Mask(frozenset()))
TIME = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
PAYLOAD = '{"id": "order-1", "type": "order_placed", "total": 10.0}'
COMMON: dict[str, Any] = {
    "agent": "app.agents.orders.process_order",
    "topic": "orders",
    "group_id": "shop",
    "partition": 3,
    "offset": 42,
    "key": b"order-1",
    "entity_id": "order-1",
    "event_time": TIME,
    "event_type": "order_placed",
    "event_version": "1",
    "checksum": bytes(range(16)),
    "payload": PAYLOAD,
    "payload_raw": None,
    "payload_size": len(PAYLOAD),
    "created_at": TIME,
}
EVENT = EventRecord(id=1, **COMMON, related=[7])
FAILURE = FailureRecord(
    id=7,
    **COMMON,
    related=[1],
    origin='{"headers": [["trace", "4bf92f35"]], "timestamp": 1767323045.678}',
    error_class="app.agents.orders.OutOfStockError",
    error_message="no order-1 left",
    error_backtrace='["app/agents/orders.py:27 in process_order: await ship(payload)"]',
    attempts=6,
    occurrences=1,
    first_failed_at=TIME,
    last_failed_at=TIME,
    fingerprint=bytes(range(16, 32)),
    status="open",
    edited=None,
)
COUNT = Count(count=1, capped=False)
GROUP = FailureGroup(
    fingerprint=bytes(range(16, 32)),
    agent=FAILURE.agent,
    topic=FAILURE.topic,
    error_class=FAILURE.error_class,
    count=COUNT,
    first_failed_at=TIME,
    last_failed_at=TIME,
    sample=FAILURE,
)
STATS = Stats(
    events=Count(count=10_000, capped=True),
    events_by_topic={"orders": 10_000},
    events_by_agent={EVENT.agent: 10_000},
    failures_by_status={"open": COUNT, "resolved": Count(count=12, capped=False)},
    unresolved_by_topic={"orders": 1},
    unresolved_by_agent={EVENT.agent: 1},
)
ENTRY = AuditEntry(
    id=9,
    created_at=TIME,
    actor="alice",
    request_id="4bf92f3577b34da6",
    action="retry",
    subject="failure",
    subject_id=7,
    operation_id=None,
    topic="orders",
    before='{"status": "open", "attempts": 6}',
    after='{"status": "resolved", "outcome": "acknowledged"}',
)
OPERATION = Operation(
    id=3,
    created_at=TIME,
    actor="alice",
    plan=Plan(action="retry"),
    status="running",
    reason=None,
    total=26,
    outcomes={"acknowledged": 5, "failed": 1},
    finished_at=None,
)

EXAMPLES: dict[Any, Any] = {
    str: "PONG",
    EventBody: TOLD.event(EVENT, single=True),
    list[EventBody]: [TOLD.event(EVENT)],
    FailureBody: TOLD.failure(FAILURE, single=True),
    list[FailureBody]: [TOLD.failure(FAILURE)],
    TotalBody: reports.total(COUNT),
    list[GroupBody]: [TOLD.group(GROUP)],
    StatsBody: reports.stats(STATS),
    list[AuditBody]: [TOLD.entry(ENTRY)],
    RetriedBody: reports.retried(Replayed(outcome="acknowledged")),
    RetriedBody | DryRunBody: reports.retried(Replayed(outcome="acknowledged")),
    DiscardedBody: reports.discarded(),
    PreviewBody: TOLD.preview(COUNT, [FAILURE]),
    OperationBody: reports.operation(OPERATION),
    list[OperationBody]: [reports.operation(OPERATION)],
    LiveBody: {"status": "ok"},
    HealthBody: {"status": "ok", "checks": {"database": "ok", "schema": "ok", "agents": "ok"}},
    RetryRequest: {"payload": orjson.Fragment(PAYLOAD)},
    BulkRequest: {"filter": {"agent": EVENT.agent}, "rate": 10, "canary": [1, 5, 20]},
}
"""By the type of a body."""
