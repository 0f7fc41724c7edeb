"""Handlers do what no handler should: each event ends as promised, and so do its neighbours."""

from collections.abc import Iterable
from functools import partial

import orjson
import pytest
from sqlalchemy import select

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.invariants import check_effects, check_nothing_is_lost
from tests.end_to_end.journal import Place
from tests.end_to_end.ledger import Produced
from tests.end_to_end.stage import Stage
from tests.faults.fallible import RECOVERY_LIMIT, start, wait_for_output
from tests.faults.misdeeds import FAILING, HARMLESS, WITH_SESSION
from tests.faults.report import note
from tests.polling import eventually

MODES = ("awkward", "awkward_transactional")
full = partial(pytest.param, marks=pytest.mark.full)


def produce(stage: Stage, mode: str, misdeeds: Iterable[str]) -> list[Produced]:
    """Produce an event for each misdeed, and a good one behind it; return the former."""
    for agent in MODES:
        stage.kafka.create_topic(stage.topic(agent), 1)
    wanted = [does for misdeed in misdeeds for does in (misdeed, "nothing")]
    values = [orjson.dumps({"id": id_, "does": does}) for id_, does in enumerate(wanted)]
    stage.ledger.produce(stage.topic(mode), values)
    return stage.ledger.entries[::2]


def wait_for_commits(stage: Stage) -> None:
    """Return once every event is settled and committed."""
    stage.wait_until_settled(timeout=RECOVERY_LIMIT)
    places = [message.place for message in stage.ledger.entries]
    eventually(lambda: stage.check_committed(places), timeout=RECOVERY_LIMIT)


def recorded(stage: Stage) -> set[Place]:
    """Return where the events lie that have succeeded."""
    columns = EventRow.topic, EventRow.partition, EventRow.offset
    return {Place._make(row) for row in stage.fetch(select(*columns))}


@pytest.mark.parametrize("mode", MODES)
def test_misdeeds_are_failures_of_their_own_events(stage: Stage, mode: str) -> None:
    """The worker goes on, and what has failed has no effect."""
    with_session = WITH_SESSION if mode == "awkward_transactional" else {}
    produced = produce(stage, mode, [*FAILING, *HARMLESS, *with_session])
    worker = start(stage)
    wait_for_commits(stage)
    check_nothing_is_lost(stage.ledger.entries, stage.outcomes())
    failed = {message.place for message in produced[: len(FAILING)]}
    if with_session:
        failed.add(produced[-1].place)
    columns = FailureRow.topic, FailureRow.partition, FailureRow.offset, FailureRow.attempts
    attempts = {Place._make(row[:3]): row.attempts for row in stage.fetch(select(*columns))}
    assert attempts == dict.fromkeys(failed, 2)
    good = [one for one in stage.ledger.entries if one.place not in failed]
    check_effects(good if mode == "awkward_transactional" else [], stage.effects())
    stage.end([worker])
    hit = len(produced)
    note("W7, W9-W11", injected=hit, hit=hit, events=len(stage.ledger.entries))


@pytest.mark.parametrize("mode", ["awkward", full("awkward_transactional")])
@pytest.mark.parametrize("does", ["exit", full("interrupt"), full("generator")])
def test_what_ends_the_process_acknowledges_nothing(stage: Stage, mode: str, does: str) -> None:
    """The worker ends with an error, and another one handles the event."""
    produce(stage, mode, [does])
    worker = start(stage)

    def ended() -> None:
        assert not worker.running

    eventually(ended, timeout=RECOVERY_LIMIT)
    assert worker.end() != 0
    assert stage.settled() == set()
    stage.mended.set()
    start(stage)
    wait_for_commits(stage)
    assert recorded(stage) == {message.place for message in stage.ledger.entries}
    note("W9", injected=1, hit=1, events=len(stage.ledger.entries), duplicates=1)


@pytest.mark.parametrize("mode", [full("awkward"), "awkward_transactional"])
def test_a_worker_that_is_blocked_is_passed_by(stage: Stage, mode: str) -> None:
    """Its group goes on without it, and what it does when it comes to itself counts once."""
    produce(stage, mode, ["block"])
    blocked = start(stage, BLOCKS="1", REBALANCE_TIMEOUT="1")

    def in_it() -> None:
        assert stage.runs()

    eventually(in_it, timeout=RECOVERY_LIMIT)
    start(stage, REBALANCE_TIMEOUT="1")
    wait_for_commits(stage)
    assert sorted(stage.runs().values()) == [1, 2]
    stage.mended.set()
    wait_for_output(blocked, "member_id was not recognized")
    check_nothing_is_lost(stage.ledger.entries, stage.outcomes())
    check_effects(stage.ledger.entries if mode == "awkward_transactional" else [], stage.effects())
    note("W8", injected=1, hit=1, events=len(stage.ledger.entries), duplicates=1)
