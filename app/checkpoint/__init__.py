"""Dedupe, bounded retries and recorded outcomes for the handlers of Faust agents."""

from app.checkpoint.breaker import Breaker
from app.checkpoint.decorator import Checkpoint
from app.checkpoint.errors import (
    CheckpointError,
    ConfigurationError,
    ConflictError,
    HandlerError,
    NotFoundError,
    ProcessDiedError,
    ReplayError,
    SchemaError,
)
from app.checkpoint.events import Metadata
from app.checkpoint.health import Health
from app.checkpoint.models import Model
from app.checkpoint.notifications import Notification, one_line
from app.checkpoint.operations import Operations
from app.checkpoint.outcomes import Ack, Skip, ack, skip
from app.checkpoint.pruning import Pruned, Pruner, PruneSchedule
from app.checkpoint.queries import Reader
from app.checkpoint.records import (
    Action,
    Actor,
    AuditEntry,
    Count,
    Cursor,
    EventRecord,
    FailureGroup,
    FailureRecord,
    Filter,
    Operation,
    Outcome,
    Page,
    Plan,
    Replayed,
    Stats,
    Status,
)
from app.checkpoint.replay import Replay
from app.checkpoint.retention import Retention
from app.checkpoint.retry import Backoff

__all__ = [
    "Ack",
    "Action",
    "Actor",
    "AuditEntry",
    "Backoff",
    "Breaker",
    "Checkpoint",
    "CheckpointError",
    "ConfigurationError",
    "ConflictError",
    "Count",
    "Cursor",
    "EventRecord",
    "FailureGroup",
    "FailureRecord",
    "Filter",
    "HandlerError",
    "Health",
    "Metadata",
    "Model",
    "NotFoundError",
    "Notification",
    "Operation",
    "Operations",
    "Outcome",
    "Page",
    "Plan",
    "ProcessDiedError",
    "PruneSchedule",
    "Pruned",
    "Pruner",
    "Reader",
    "Replay",
    "ReplayError",
    "Replayed",
    "Retention",
    "SchemaError",
    "Skip",
    "Stats",
    "Status",
    "ack",
    "one_line",
    "skip",
]
