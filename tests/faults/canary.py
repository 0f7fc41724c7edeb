"""Services with a planted bug each, which the oracle of the other tests must find.

`CANARY` names the bug. Each is one that streaming services have really had.
"""

import asyncio
import importlib
import os
from typing import Any

import faust
import orjson
from faust.types import StreamT
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint import store, turns
from app.checkpoint.attempts import Handler
from app.checkpoint.decorator import Checkpointed
from app.checkpoint.events import Event, make_record
from app.checkpoint.keyed import KeyedLane
from app.checkpoint.lanes import Lane, Progress, settle_alone
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.store import Outcomes
from tests.end_to_end import service
from tests.faults import failpoints
from tests.faults.failpoints import Replacement, replace

KEYED = "tests.faults.keyed"
"""Where the agent is that is ordered by key."""
LATE_SECONDS = 2.0
"""How late the second of two transactions may be, when the database has much to do."""

app: faust.App = service.app
later: set[asyncio.Task[Any]] = set()


def ack_before_commit() -> None:
    """Acknowledge a batch when it is taken up."""

    @replace(Pipeline, "settle")
    async def settle(original: Replacement, pipeline: Pipeline, lane: Lane, records: Any) -> Any:
        lane.position = records[-1].offset + 1
        return await original(pipeline, lane, records)


def ack_out_of_order() -> None:
    """Go on behind an event that is to be retried, and acknowledge what comes then."""

    @replace(Pipeline, "settle")
    async def settle(original: Replacement, pipeline: Pipeline, lane: Lane, records: Any) -> Any:
        progress: Progress = await original(pipeline, lane, records)
        if not progress.delay:
            return progress
        aside = settle_alone(lambda *args: original(pipeline, *args), records[progress.done])
        later.add(asyncio.create_task(aside))
        return Progress(done=progress.done + 1, outcomes=progress.outcomes)


def skip_an_event() -> None:
    """Forget the last event of each batch, and acknowledge it all the same."""

    @replace(store, "record")
    async def record(
        original: Replacement,
        connection: AsyncConnection,
        handler: Handler,
        outcomes: Outcomes,
        **options: Any,
    ) -> None:
        del outcomes.acked[-1:]
        await original(connection, handler, outcomes, **options)

    @replace(store, "copy_events")
    async def copy_events(_: Replacement, *__: Any) -> bool:
        return False


def check_then_act() -> None:
    """Ask whether an event is known, and let no constraint decide when two have asked."""

    @replace(store, "record")
    async def record(original: Replacement, *args: Any, **_: bool) -> None:
        await original(*args, all_new=False)


def fail_after_ack() -> None:
    """Write the row of a failure in a transaction of its own, after the acknowledgement."""

    @replace(store, "record")
    async def record(
        original: Replacement,
        connection: AsyncConnection,
        handler: Handler,
        outcomes: Outcomes,
        **options: Any,
    ) -> None:
        failed, outcomes.failed = outcomes.failed, []
        await original(connection, handler, outcomes, **options)

        async def write() -> None:
            await asyncio.sleep(LATE_SECONDS)
            async with connection.engine.begin() as another:
                await original(another, handler, Outcomes(failed=failed))

        later.add(asyncio.create_task(write()))


def stock_agent() -> None:
    """Let Faust acknowledge whatever its agent is done with, be it by an exception."""
    plain: Any = service.plain.fun
    assert isinstance(plain, Checkpointed)
    pipeline = plain.pipeline(agent="stock", group_id=service.group)

    @app.agent(app.topic(f"{service.group}.stock", value_serializer="raw"))
    async def stock(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            message = event.message
            if orjson.loads(message.value).get("failures"):
                msg = "the handler failed"
                raise RuntimeError(msg)
            record = make_record(
                message.value,
                topic=message.topic,
                partition=message.partition,
                offset=message.offset,
            )
            await settle_alone(pipeline.settle, record)


def ack_the_furthest() -> None:
    """By key: acknowledge the furthest event that is done, whatever waits before it."""
    importlib.import_module(KEYED)
    furthest: dict[KeyedLane, int] = {}

    @replace(KeyedLane, "_handle")
    async def handle(original: Replacement, lane: KeyedLane, turn: turns.Turn) -> None:
        await original(lane, turn)
        furthest[lane] = max(furthest.get(lane, 0), turn.event.record.offset + 1)

    @replace(KeyedLane, "_record")
    async def record(original: Replacement, lane: KeyedLane) -> None:
        await original(lane)
        lane.position = furthest[lane]


def mix_a_key() -> None:
    """By key: let events of one key go on side by side."""
    importlib.import_module(KEYED)

    class Alone(turns.Turn):
        def __init__(self, event: Event) -> None:
            super().__init__(event)
            self.key = event.record.offset

    turns.Turn = Alone  # type: ignore[misc]


CANARIES = {
    canary.__name__: canary
    for canary in (
        *(ack_before_commit, ack_out_of_order, skip_an_event),
        *(check_then_act, fail_after_ack, stock_agent),
        *(ack_the_furthest, mix_a_key),
    )
}
CANARIES[os.environ["CANARY"]]()
if "FAILPOINTS" in os.environ:
    failpoints.install(os.environ["FAILPOINTS"], service)
