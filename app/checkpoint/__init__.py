"""Dedupe, bounded retries and recorded outcomes for the handlers of Faust agents."""

from app.checkpoint.decorator import Checkpoint
from app.checkpoint.errors import CheckpointError, ConfigurationError, SchemaError
from app.checkpoint.events import Metadata
from app.checkpoint.models import Model
from app.checkpoint.notifications import Notification
from app.checkpoint.outcomes import Ack, Skip, ack, skip
from app.checkpoint.retry import Backoff

__all__ = [
    "Ack",
    "Backoff",
    "Checkpoint",
    "CheckpointError",
    "ConfigurationError",
    "Metadata",
    "Model",
    "Notification",
    "SchemaError",
    "Skip",
    "ack",
    "skip",
]
