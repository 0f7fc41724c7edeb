"""What is told of acts and counts: there is nothing in it to be hidden."""

from app.checkpoint import Count, Operation, Replayed, Stats
from app.web.shapes import DiscardedBody, OperationBody, RetriedBody, StatsBody, TotalBody
from app.web.texts import time_or_null, time_text


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
        "finished_at": time_or_null(told.finished_at),
    }
