"""A plan is checked before anything begins, says when it is looked back, and is kept as it is."""

from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.checkpoint import ConfigurationError, Filter, Plan
from app.checkpoint.plans import check, dump, load, look_back, reason_to_stop

PLAN = Plan(action="retry")
MAX_ID = 2**63 - 1

TEXTS = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
DIGESTS = st.none() | st.binary(min_size=16, max_size=16)
FILTERS = st.builds(
    Filter,
    topic=TEXTS,
    entity_id=TEXTS,
    checksum=DIGESTS,
    partition=st.none() | st.integers(0, 2**31 - 1),
    since=TIMES,
    until=TIMES,
    topics=st.none() | st.frozensets(st.text("abc", max_size=2)),
    status=st.sampled_from(["open", "retrying", "resolved", "discarded", "all", "unresolved"]),
    error_text=TEXTS,
    fingerprint=DIGESTS,
)
PLANS = st.builds(
    Plan,
    action=st.sampled_from(["retry", "discard"]),
    ids=st.none()
    | st.lists(st.integers(1, MAX_ID), min_size=1, max_size=9, unique=True).map(tuple),
    filter=FILTERS,
    limit=st.integers(1, 10_000),
    rate=st.none() | st.floats(0, 1_000, exclude_min=True),
    canary=st.lists(st.integers(1, 10_000), max_size=10).map(tuple),
    failure_ratio=st.floats(0, 1),
)


@given(plan=PLANS)
def test_a_plan_is_read_as_it_was_written(plan: Plan) -> None:
    """Ids, digests, times and all; and it can be worked off."""
    check(plan)
    assert load(dump(plan)) == plan


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "delete"}, "action='delete' cannot work: write retry or discard"),
        ({"ids": ()}, "write 1 to 1,000, or a filter"),
        ({"ids": tuple(range(1, 1_002))}, "write 1 to 1,000, or a filter"),
        ({"ids": (1, 1)}, "write ids of failures, each once"),
        ({"ids": (0,)}, "write ids of failures, each once"),
        ({"ids": (MAX_ID + 1,)}, "write ids of failures, each once"),
        ({"ids": ("1",)}, "write ids of failures, each once"),
        ({"ids": (True,)}, "write ids of failures, each once"),
        ({"ids": ([],)}, "write ids of failures, each once"),
        ({"limit": 0}, "limit=0 cannot work: write 1 to 10,000"),
        ({"limit": 10_001}, "write 1 to 10,000"),
        ({"limit": 1.5}, "write 1 to 10,000"),
        ({"limit": None}, "write 1 to 10,000"),
        ({"rate": 0}, "rate=0 cannot work: write how many a second"),
        ({"rate": -1}, "write how many a second"),
        ({"rate": float("nan")}, "write how many a second"),
        ({"rate": 1_001}, "write how many a second, more than 0, at most 1,000"),
        ({"rate": "fast"}, "rate='fast' cannot work"),
        ({"rate": True}, "write how many a second"),
        ({"canary": (1, 0)}, "write at most 10 steps of 1 or more"),
        ({"canary": (1,) * 11}, "write at most 10 steps of 1 or more"),
        ({"canary": (10**30,)}, "write at most 10 steps of 1 or more"),
        ({"canary": (1.0,)}, "write at most 10 steps of 1 or more"),
        ({"failure_ratio": 1.1}, "write a share from 0 to 1, as 0.2"),
        ({"failure_ratio": -0.1}, "write a share from 0 to 1"),
        ({"failure_ratio": float("nan")}, "write a share from 0 to 1"),
        ({"failure_ratio": False}, "write a share from 0 to 1"),
        ({"rate": "x" * 10_000}, r"^rate='x{39} cannot work"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    """With what to write instead, and no more of the value than one can read."""
    with pytest.raises(ConfigurationError, match=message):
        check(replace(PLAN, **changes))


@pytest.mark.parametrize(
    ("canary", "looks"),
    [
        ((1, 5, 20), {1: 0, 6: 1, 26: 6, 126: 0, 226: 0}),
        ((), {100: 0, 200: 0}),
        ((150,), {150: 0, 250: 0}),
    ],
)
def test_it_is_looked_back_at_each_step_then_at_all(
    canary: tuple[int, ...], looks: dict[int, int]
) -> None:
    """After the canary whenever a hundred more are done."""
    plan = replace(PLAN, canary=canary)
    found = {position: look_back(plan, position) for position in range(251)}
    assert {at: since for at, since in found.items() if since is not None} == looks


@given(canary=st.lists(st.integers(1, 50), max_size=5), positions=st.integers(0, 1_000))
def test_no_item_is_left_out_of_the_looks(canary: list[int], positions: int) -> None:
    """Each look begins where the one before ended, or at the first."""
    plan, seen = replace(PLAN, canary=tuple(canary)), 0
    for position in range(positions):
        since = look_back(plan, position)
        if since is not None:
            assert since in {0, seen}
            seen = position
        assert position - seen < 100 or position < sum(canary)


@pytest.mark.parametrize(
    ("ratio", "outcomes", "stops"),
    [
        (0.2, {"failed": 1, "acknowledged": 4}, False),
        (0.2, {"failed": 2, "acknowledged": 5, "skipped": 2}, True),
        (0.29, {"failed": 29, "duplicate": 71}, False),
        (0.2, {"failed": 1, "passed over": 99}, True),
        (0.0, {"passed over": 5}, False),
        (0.0, {"failed": 1, "acknowledged": 999}, True),
        (1.0, {"failed": 5}, False),
        (0.0, {}, False),
    ],
)
def test_more_failed_ones_than_allowed_stop_an_operation(
    ratio: float, outcomes: dict[str, int], *, stops: bool
) -> None:
    """Of those that were acted on; the reason names the numbers."""
    reason = reason_to_stop(replace(PLAN, failure_ratio=ratio), outcomes)
    assert (reason is not None) == stops
    if reason:
        assert str(outcomes["failed"]) in reason
