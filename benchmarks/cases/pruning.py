"""The checkpointed agent, in a worker that deletes old events meanwhile."""

from datetime import timedelta

from app.checkpoint import PruneSchedule, Retention
from benchmarks.cases.checkpoint import app, checkpoint

__all__ = ["app"]

checkpoint.pruning = PruneSchedule(
    keep=Retention(events=timedelta(days=30)), every=timedelta(hours=1)
)
