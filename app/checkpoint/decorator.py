"""`Checkpoint` and its decorator: a coroutine function becomes an agent that loses no event."""

import functools
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import fields, replace
from math import inf
from typing import Any, Never, TypedDict, Unpack, cast

import orjson
from faust.agents import current_agent
from faust.types import AgentT, AppT, Message, StreamT, TopicT

from app.checkpoint.attempts import Handler, HandlerFunction
from app.checkpoint.breaker import Breaker
from app.checkpoint.circuit import Circuit
from app.checkpoint.consumer import Transport
from app.checkpoint.database import Database
from app.checkpoint.errors import ConfigurationError
from app.checkpoint.events import Record, make_record
from app.checkpoint.identity import Identity
from app.checkpoint.lanes import settle_alone
from app.checkpoint.notifications import Notifications
from app.checkpoint.operations import Operations
from app.checkpoint.options import Decode, Describe, Options, OrderedBy, RetryIf
from app.checkpoint.outages import Outages
from app.checkpoint.outcomes import Ack
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.pruning import PruneSchedule
from app.checkpoint.replay import Replay
from app.checkpoint.reports import Redact, Reports, unredacted
from app.checkpoint.retry import Backoff
from app.checkpoint.startup import BootStrategy
from app.checkpoint.suspects import Suspects

GRACE = 10.0
"""Seconds that the events in hand get when the worker stops or a partition is given up."""
OPTIONS = [field.name for field in fields(Options)]


class OptionArguments(TypedDict, total=False):
    """The fields of `Options`, none required."""

    max_retries: int | None
    backoff: Backoff
    retry_if: RetryIf | None
    timeout: float | None
    decode: Decode
    identity: Identity
    describe: Describe | None
    breaker: Breaker | None
    transactional: bool
    ordered_by: OrderedBy
    concurrency: int | None


class Checkpoint:
    """Makes agents whose offsets are committed only after their events' outcomes are.

    One per service: `checkpoint = Checkpoint(database_url)`, `checkpoint.install(app)`, and then
    `@checkpoint(...)` below `@app.agent(...)`.
    """

    def __init__(
        self, database_url: str, *, grace: float = GRACE, **defaults: Unpack[OptionArguments]
    ) -> None:
        if isinstance(grace, bool) or not isinstance(grace, int | float) or not 0 <= grace < inf:
            msg = f"Checkpoint(grace={grace!r}) cannot work: write 0 or more seconds"
            raise ConfigurationError(msg)
        self.database_url = database_url
        self.database = Database(database_url)
        self.notifications = Notifications()
        self.outages = Outages()
        self.circuits: list[Circuit] = []
        """Of the agents that this process works for as a worker."""
        self.suspects = Suspects(self.database, self.outages)
        self.grace = grace
        self.redact: Redact = unredacted
        """What the log is told of a handler's error; whoever hides fields replaces it."""
        self.pruning: PruneSchedule | None = None
        """What the workers delete by themselves; None: nothing."""
        self._defaults = _chosen(Options(), defaults)

    def __call__(
        self, *_: Never, **options: Unpack[OptionArguments]
    ) -> Callable[[HandlerFunction], "Checkpointed"]:
        """Return a decorator for the coroutine function that handles one event.

        Raises:
            ConfigurationError: an option or the function cannot work; it says what to write.
        """
        if _:
            msg = "@checkpoint takes options by name: write @checkpoint() or @checkpoint(name=...)"
            raise ConfigurationError(msg)
        chosen = _chosen(self._defaults, options)

        def decorate(function: HandlerFunction) -> Checkpointed:
            chosen.check_handler(function)
            return Checkpointed(function, chosen, self)

        return decorate

    def agents(self, app: AppT) -> list[tuple[AgentT[Any], "Checkpointed"]]:
        """Return the app's checkpointed agents with their handlers."""
        return [
            (agent, agent.fun)
            for agent in app.agents.values()
            if isinstance(agent.fun, Checkpointed)
        ]

    def install(self, app: AppT) -> None:
        """Have the app's worker start with the checkpoint's checks and run on its consumer."""
        app.boot_strategy = BootStrategy(app, self)
        self.replay = Replay(self, app)
        self.operations = Operations(self, self.replay)


class Checkpointed:
    """A decorated handler: called with a stream it is a Faust agent's function.

    The plain coroutine function stays reachable as `function`, for unit tests.
    """

    def __init__(self, function: HandlerFunction, options: Options, checkpoint: Checkpoint) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.checkpoint = checkpoint

    async def __call__(self, stream: StreamT[Any]) -> AsyncIterator[Ack | None]:
        """Settle the events of a stream that Kafka does not feed: `test_context`, channels.

        In a worker the consumer delivers to the lanes, and this stream stays silent.
        """
        app, agent = stream.app, cast("AgentT[Any]", current_agent())
        if isinstance(stream.channel, TopicT) and not isinstance(app.transport, Transport):
            msg = "the checkpoint is not installed: write checkpoint.install(app) below the app"
            raise ConfigurationError(msg)
        pipeline = self.pipeline(agent=agent.name, group_id=app.conf.id)
        async for event in stream.events():
            outcomes = await settle_alone(pipeline.settle, _record(event.message))
            yield outcomes.acked[0][1] if outcomes.acked else None

    def pipeline(
        self,
        *,
        agent: str,
        group_id: str,
        database: Database | None = None,
        options: Options | None = None,
    ) -> Pipeline:
        """Return what settles the events of the agent that this handler belongs to.

        By default with the handler's own options, in the checkpoint's database.
        """
        handler = Handler(self.function, options or self.options, agent=agent, group_id=group_id)
        return Pipeline(
            handler,
            database=database or self.checkpoint.database,
            outages=self.checkpoint.outages,
            reports=Reports(handler, self.checkpoint.notifications, redact=self.checkpoint.redact),
        )


def _chosen(defaults: Options, options: OptionArguments) -> Options:
    unknown = sorted(options.keys() - set(OPTIONS))
    if unknown:
        msg = f"checkpoint() has no option {unknown[0]}: write one of {', '.join(OPTIONS)}"
        raise ConfigurationError(msg)
    return replace(defaults, **options)


def _record(message: Message) -> Record:
    value, key = message.value, message.key
    if not isinstance(value, bytes | None):
        value = orjson.dumps(value)
    if not isinstance(key, bytes | None):
        key = key.encode() if isinstance(key, str) else orjson.dumps(key)
    headers = message.headers or ()
    return make_record(
        value,
        topic=message.topic or "<anon>",  # What Faust calls a channel that has no name.
        partition=message.partition,
        offset=message.offset,
        key=key,
        headers=tuple(headers.items() if isinstance(headers, Mapping) else headers),
        timestamp=message.timestamp,
    )
