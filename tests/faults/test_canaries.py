"""What finds nothing in the engine does find planted bugs: else finding nothing proves nothing."""

from functools import partial
from typing import Any

import orjson
import pytest

from tests.end_to_end.sampler import Sampler
from tests.end_to_end.stage import Stage
from tests.end_to_end.worker import Worker
from tests.faults.fallible import RECOVERY_LIMIT, wait_for_failpoint
from tests.polling import eventually

PASSED = "committed past events without an outcome"
full = partial(pytest.param, marks=pytest.mark.full)


def start(stage: Stage, canary: str, **environ: str) -> Worker:
    """Start a worker with a planted bug."""
    environ = {"CANARY": canary, "SESSION_TIMEOUT": "1", **environ}
    return stage.start(service="tests.faults.canary", ready=False, web=False, **environ)


def look(stage: Stage) -> None:
    """Raise what the sampler finds."""
    with Sampler(stage) as sampler:

        def seen() -> None:
            assert sampler.found

        eventually(seen, timeout=RECOVERY_LIMIT)


@pytest.mark.parametrize(
    ("canary", "agent", "payload"),
    [
        ("ack_before_commit", "plain", {"seconds": 3600}),
        full("ack_out_of_order", "retrying", {}),
        full("skip_an_event", "plain", {}),
        ("fail_after_ack", "failing", {}),
        full("stock_agent", "stock", {"failures": 1}),
        ("ack_the_furthest", "keyed", {"seconds": 3600}),
    ],
)
def test_an_offset_that_passes_an_event_is_seen(
    stage: Stage, canary: str, agent: str, payload: dict[str, Any]
) -> None:
    """It is enough to look now and then while workers run."""
    if agent in {"stock", "keyed"}:
        stage.kafka.create_topic(stage.topic(agent))
    stage.produce(agent, {"id": 1}, {"id": 2, **payload}, {"id": 3})
    start(stage, canary)
    with pytest.raises(AssertionError, match=PASSED):
        look(stage)


def test_a_second_effect_is_seen(stage: Stage) -> None:
    """It comes of a worker that has asked, and was then taken for dead."""
    stage.produce("transactional", {"id": "good"}, {"id": "twice"})
    zombie = start(stage, "check_then_act", FAILPOINTS="handler_out=stop@2")
    wait_for_failpoint(zombie, "handler_out")
    other = start(stage, "check_then_act")
    stage.wait_until_settled()
    zombie.thaw()
    stage.end([zombie, other])
    with pytest.raises(AssertionError, match="effects"):
        stage.check()


def test_a_key_out_of_order_is_seen(stage: Stage) -> None:
    """The second event of a key has succeeded when the first one does."""
    stage.kafka.create_topic(stage.topic("keyed"))
    values = [orjson.dumps({"id": 1, "seconds": 1}), orjson.dumps({"id": 2})]
    stage.ledger.produce(stage.topic("keyed"), values, keys=[b"key"], partition=0)
    worker = start(stage, "mix_a_key")
    stage.wait_until_settled()
    stage.end([worker])
    with pytest.raises(AssertionError, match="after offset"):
        stage.check()
