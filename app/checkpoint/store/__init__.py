"""Every write to the checkpoint's tables."""

from app.checkpoint.store.acts import (
    Claimed,
    audit,
    claim,
    discard,
    fail_again,
    find_event,
    find_failure,
    release,
    renew,
    resolve,
)
from app.checkpoint.store.copying import copy_events
from app.checkpoint.store.outcomes import Outcomes, clear, record

__all__ = [
    "Claimed",
    "Outcomes",
    "audit",
    "claim",
    "clear",
    "copy_events",
    "discard",
    "fail_again",
    "find_event",
    "find_failure",
    "record",
    "release",
    "renew",
    "resolve",
]
