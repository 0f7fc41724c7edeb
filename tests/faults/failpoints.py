"""Places in the engine where a worker can be made to die, stop, raise or be cancelled.

`FAILPOINTS=handler_out=kill@25` kills the process when it gets there for the 25th time. Seams of
the engine are wrapped from outside; if the variable is not set, nothing is. Where they lie:

- `fetched`: records are in hand, and no lane has them (`Lanes.deliver`).
- `decoded`: the payload is there (`Handler._decode`).
- `tx_begun`, `claimed`: the connection is taken, and what the database knows of the batch is still
  to be asked, or has been answered (`queries.known`).
- `handler_in`, `handler_out`: the handler has noted its start, or its end (`start` and `finish` of
  the service; what fails ends in neither).
- `before_failure`, `before_commit`: outcomes with failures are to be written; outcomes have been
  written, and not committed (`store.record`), or are to be written and committed in one
  (`store.copy_events`).
- `commit_reply_lost`: the database has committed, and nobody knows yet (the dialect's `do_commit`,
  `store.copy_events`).
- `after_commit`, `after_failure_commit`: the pipeline knows, the latter of failures
  (`Reports.settled`).
- `before_ack`, `after_ack`: the lane is to count its events as done, or has (`Lane.step`).
- `retry_sleep`: the lane waits for the time of the next attempt (its event `_woken`).
- `offset_committed`: the broker has taken an offset (`Consumer._commit_offsets`).
"""

import asyncio
import functools
import os
from collections.abc import Callable
from signal import SIGKILL, SIGSTOP
from types import ModuleType
from typing import Any, TypeAlias

from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.checkpoint import queries, store
from app.checkpoint.attempts import Handler
from app.checkpoint.consumer import Consumer
from app.checkpoint.lanes import Lane, Lanes
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.reports import Reports
from app.checkpoint.store import Outcomes

FAILPOINTS = (
    *("fetched", "decoded", "tx_begun", "claimed", "handler_in", "handler_out", "before_commit"),
    *("commit_reply_lost", "after_commit", "before_ack", "after_ack", "offset_committed"),
    *("retry_sleep", "before_failure", "after_failure_commit"),
)


def _raise() -> None:
    # Of the kind that a driver raises when its connection breaks.
    msg = "a failpoint"
    raise ConnectionResetError(msg)


def _cancel() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()


def _signal(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


ACTIONS = {
    "kill": _signal(SIGKILL),
    "stop": _signal(SIGSTOP),
    "raise": _raise,
    "cancel": _cancel,
}
Replacement: TypeAlias = Callable[..., Any]


class Armed:
    """What is to happen at the failpoints of this process, and when."""

    def __init__(self, text: str) -> None:
        self._left: dict[str, int] = {}
        self._actions: dict[str, Callable[[], None]] = {}
        for failpoint in text.split(","):
            name, _, rest = failpoint.partition("=")
            action, _, times = rest.partition("@")
            assert name in FAILPOINTS, name
            self._left[name] = int(times or 1)
            self._actions[name] = ACTIONS[action]

    def reach(self, name: str) -> None:
        """Do what was asked for at a failpoint if this is the time for it, and say so before."""
        left = self._left[name] = self._left.get(name, 0) - 1
        if left == 0:
            # Not print: Faust makes log lines of that, which may not be out when we die.
            os.write(1, f"failpoint {name}\n".encode())
            self._actions[name]()


def replace(owner: Any, name: str) -> Callable[[Replacement], Replacement]:
    """Return a decorator: the function is called in place of another one, with that one first."""
    original = getattr(owner, name)

    def decorate(function: Replacement) -> Replacement:
        @functools.wraps(original)
        def seam(*args: Any, **options: Any) -> Any:
            return function(original, *args, **options)

        setattr(owner, name, seam)
        return function

    return decorate


def install(text: str, service: ModuleType) -> None:
    """Wrap the seams, those of the service among them, and have happen what the text says."""
    reach = Armed(text).reach
    wrap_lanes(reach)
    wrap_handlers(reach, service)
    wrap_database(reach)
    wrap_copies(reach)


def wrap_lanes(reach: Callable[[str], None]) -> None:
    """Wrap what lies between the broker and the pipeline."""

    @replace(Lanes, "deliver")
    def deliver(original: Replacement, *args: Any) -> None:
        reach("fetched")
        original(*args)

    @replace(Pipeline, "settle")
    async def settle(original: Replacement, *args: Any) -> Any:
        progress = await original(*args)
        reach("before_ack")
        return progress

    @replace(Lane, "step")
    async def step(original: Replacement, *args: Any) -> Any:
        progress = await original(*args)
        reach("after_ack")
        return progress

    @replace(Lane, "__init__")
    def make(original: Replacement, lane: Lane, *args: Any) -> None:
        original(lane, *args)
        lane._woken = _Woken(reach)  # noqa: SLF001 - what wakes it has no public name

    @replace(Consumer, "_commit_offsets")
    async def commit(original: Replacement, *args: Any, **options: Any) -> bool:
        committed: bool = await original(*args, **options)
        if committed:
            reach("offset_committed")
        return committed


class _Woken(asyncio.Event):
    def __init__(self, reach: Callable[[str], None]) -> None:
        super().__init__()
        self._reach = reach

    async def wait(self) -> Any:
        self._reach("retry_sleep")
        return await super().wait()


def wrap_handlers(reach: Callable[[str], None], service: ModuleType) -> None:
    """Wrap what an attempt consists of."""

    @replace(Handler, "_decode")
    async def decode(original: Replacement, *args: Any) -> Any:
        payload = await original(*args)
        reach("decoded")
        return payload

    @replace(service, "start")
    async def start(original: Replacement, *args: Any) -> None:
        await original(*args)
        reach("handler_in")

    @replace(service, "finish")
    def finish(original: Replacement, *args: Any) -> Any:
        answer = original(*args)
        reach("handler_out")
        return answer


def wrap_copies(reach: Callable[[str], None]) -> None:
    """Wrap what is written and committed in one."""

    @replace(store, "copy_events")
    async def copy_events(
        original: Replacement, engine: AsyncEngine, handler: Handler, outcomes: Outcomes
    ) -> bool:
        if engine.dialect.name == "postgresql" and not (outcomes.failed or outcomes.resolved):
            reach("before_commit")
        copied: bool = await original(engine, handler, outcomes)
        if copied:
            reach("commit_reply_lost")
        return copied


def wrap_database(reach: Callable[[str], None]) -> None:
    """Wrap the transactions that settle events."""

    @replace(queries, "known")
    async def known(original: Replacement, *args: Any) -> Any:
        reach("tx_begun")
        found = await original(*args)
        reach("claimed")
        return found

    @replace(store, "record")
    async def record(
        original: Replacement,
        connection: AsyncConnection,
        handler: Handler,
        outcomes: Outcomes,
        **options: Any,
    ) -> None:
        if outcomes.failed:
            reach("before_failure")
        await original(connection, handler, outcomes, **options)
        if outcomes:
            connection.info["outcomes"] = True
            reach("before_commit")

    @replace(DefaultDialect, "do_commit")
    def do_commit(original: Replacement, dialect: Any, connection: Any) -> None:
        original(dialect, connection)
        # Others commit as well: who looks for operations to take up does so each second.
        if connection.info.pop("outcomes", False):
            reach("commit_reply_lost")

    @replace(Reports, "settled")
    def settled(original: Replacement, reports: Reports, outcomes: Outcomes, *args: Any) -> None:
        if outcomes:
            reach("after_commit")
        if outcomes.failed:
            reach("after_failure_commit")
        original(reports, outcomes, *args)
