"""Plans of bulk operations: which can be worked off, when they look back, and their JSON."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from itertools import accumulate
from typing import Any, Never

import orjson

from app.checkpoint.errors import ConfigurationError
from app.checkpoint.records import Filter, Plan

MAX_IDS = 1_000
MAX_ID = 2**63 - 1
MAX_SELECTED = 10_000
MAX_RATE = 1_000
MAX_STEPS = 10
LOOK_EVERY = 100
"""After the canary it is looked at how many failed whenever so many more are done."""


def check(plan: Plan) -> None:
    """Refuse a plan that cannot be worked off.

    Raises:
        ConfigurationError: says what to write instead.
    """
    if plan.action not in ("retry", "discard"):
        _refuse("action", plan.action, "write retry or discard")
    if plan.ids is not None:
        if not 1 <= len(plan.ids) <= MAX_IDS:
            _refuse("ids", plan.ids, f"write 1 to {MAX_IDS:,}, or a filter")
        if not _are_within(plan.ids, MAX_ID) or len(set(plan.ids)) < len(plan.ids):
            _refuse("ids", plan.ids, "write ids of failures, each once")
    if not _are_within([plan.limit], MAX_SELECTED):
        _refuse("limit", plan.limit, f"write 1 to {MAX_SELECTED:,}")
    if plan.rate is not None and not (_is_number(plan.rate) and 0 < plan.rate <= MAX_RATE):
        _refuse("rate", plan.rate, f"write how many a second, more than 0, at most {MAX_RATE:,}")
    if len(plan.canary) > MAX_STEPS or not _are_within(plan.canary, MAX_SELECTED):
        _refuse("canary", plan.canary, f"write at most {MAX_STEPS} steps of 1 or more, as 1, 5, 20")
    if not (_is_number(plan.failure_ratio) and 0 <= plan.failure_ratio <= 1):
        _refuse("failure_ratio", plan.failure_ratio, "write a share from 0 to 1, as 0.2")


def look_back(plan: Plan, position: int) -> int | None:
    """Return from which item on it is looked at how many failed, before this one is taken up.

    At the end of a canary's step these are the items of the step, later all; None: it is not
    looked at here.
    """
    ends = list(accumulate(plan.canary, initial=0))
    if position > ends[-1]:
        return 0 if (position - ends[-1]) % LOOK_EVERY == 0 else None
    return ends[ends.index(position) - 1] if position in ends[1:] else None


def reason_to_stop(plan: Plan, outcomes: dict[str, int]) -> str | None:
    """Return why an operation does not go on after such outcomes; None: it goes on.

    What was passed over says nothing about the handler, and counts neither as failed nor else.
    """
    acted = sum(outcomes.values()) - outcomes.get("passed over", 0)
    failed = outcomes.get("failed", 0)
    if not acted or failed / acted <= plan.failure_ratio:
        return None
    return f"{failed} of {acted} failed again, and the plan allows a share of {plan.failure_ratio}"


def dump(plan: Plan) -> str:
    """Return a plan as a JSON object; digests are in hexadecimal."""
    return orjson.dumps(plan, default=_plain).decode()


def load(text: str) -> Plan:
    """Return the plan that `dump` has written."""
    plan = Plan(**orjson.loads(text))
    where: Any = plan.filter
    for name in ("checksum", "fingerprint"):
        where[name] = where[name] and bytes.fromhex(where[name])
    for name in ("since", "until"):
        where[name] = where[name] and datetime.fromisoformat(where[name])
    where["topics"] = None if where["topics"] is None else frozenset(where["topics"])
    ids = None if plan.ids is None else tuple(plan.ids)
    return replace(plan, filter=Filter(**where), ids=ids, canary=tuple(plan.canary))


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else sorted(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_within(values: Iterable[object], highest: int) -> bool:
    return all(type(value) is int and 1 <= value <= highest for value in values)


def _refuse(name: str, value: object, instead: str) -> Never:
    msg = f"{name}={value!r:.40} cannot work: {instead}"
    raise ConfigurationError(msg)
