"""What a worker does before it consumes: refuse what would lose events, then open the lanes."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from faust.app.base import BootStrategy as FaustBootStrategy
from faust.types import AgentT, AppT, ServiceT, TopicT
from faust.types.enums import ProcessingGuarantee
from mode import Service

from app.checkpoint.consumer import TESTED_FAUST, Transport, fits
from app.checkpoint.database import is_outage
from app.checkpoint.errors import CheckpointError, ConfigurationError
from app.checkpoint.keyed import opens
from app.checkpoint.lanes import Lanes
from app.checkpoint.pruning import PruneTimer
from app.checkpoint.runner import OperationsRunner

if TYPE_CHECKING:
    from app.checkpoint.decorator import Checkpoint


class BootStrategy(FaustBootStrategy):
    """Faust's order of services, with the checkpoint started first and stopped last."""

    def __init__(self, app: AppT, checkpoint: "Checkpoint") -> None:
        super().__init__(app)
        self._checkpoint = checkpoint

    def server(self) -> Iterable[ServiceT]:
        """Return the services of a worker."""
        checkpoint = self._checkpoint
        lanes = Lanes(
            grace=checkpoint.grace, on_crash=self._crash, give_up=checkpoint.suspects.give_up
        )
        # Before the consumer is made: the transport makes it.
        self.app.transport = Transport(self.app.conf.broker_consumer, self.app, lanes=lanes)
        return [
            Startup(self.app, self._checkpoint, lanes),
            *super().server(),
            # Last: handlers that run again find everything as in the stream.
            OperationsRunner(self._checkpoint.operations),
            PruneTimer(self._checkpoint),
        ]

    def producer_only(self) -> Iterable[ServiceT]:
        """Return the services of a process that consumes nothing, and runs handlers when asked."""
        return [Startup(self.app, self._checkpoint, None), *super().producer_only()]

    def _crash(self, error: BaseException) -> None:
        self._crashing = asyncio.ensure_future(self.app.crash(error))


class Startup(Service):
    """Checks agents and database before anything is consumed, and closes the database last."""

    def __init__(self, app: AppT, checkpoint: "Checkpoint", lanes: Lanes | None) -> None:
        super().__init__()
        self._app = app
        self._checkpoint = checkpoint
        self._lanes = lanes

    async def on_start(self) -> None:
        """Refuse to start in one sentence, or hand the agents' topics to lanes."""
        try:
            check(self._app, self._checkpoint)
            await self._check_schema()
        except CheckpointError as error:
            msg = f"The worker does not start: {error}"
            raise SystemExit(msg) from None
        if self._lanes is None:
            return
        suspects = self._checkpoint.suspects
        for agent, handler in self._checkpoint.agents(self._app):
            pipeline = handler.pipeline(agent=agent.name, group_id=self._app.conf.id)
            self._checkpoint.circuits.append(pipeline.circuit)
            for topic in topics(agent):
                self._lanes.add(topic, suspects.guard(pipeline), opens(pipeline, suspects))

    async def on_stop(self) -> None:
        """Close the database's connections."""
        await self._checkpoint.operations.close()
        await self._checkpoint.replay.close()
        await self._checkpoint.database.close()

    async def _check_schema(self) -> None:
        database, outages = self._checkpoint.database, self._checkpoint.outages
        try:
            await database.check_schema()
        except CheckpointError:
            raise
        except Exception as error:
            if not is_outage(error):
                msg = f"the database refuses: {error}; check DATABASE_URL"
                raise ConfigurationError(msg) from error
            await outages.ride_out(database.check_schema)


def check(app: AppT, checkpoint: "Checkpoint") -> None:
    """Refuse an app in which events could be lost.

    Raises:
        ConfigurationError: says why, and what to write instead.
    """
    if not fits():
        _refuse(
            f"this Faust is not {TESTED_FAUST}x", "install the version that pyproject.toml names"
        )
    if not app.conf.stream_wait_empty:
        _refuse("stream_wait_empty=False acks events in hand at shutdown", "remove it")
    guarantee: Any = app.conf.processing_guarantee
    if guarantee is ProcessingGuarantee.EXACTLY_ONCE:
        _refuse("Kafka transactions cannot include the database", "remove processing_guarantee")
    agents = checkpoint.agents(app)
    for agent, _ in agents:
        _check_agent(agent)
    checked = {agent.name for agent, _ in agents}
    owners = {topic: agent.name for agent, _ in agents for topic in topics(agent)}
    for agent in app.agents.values():
        shared = owners.keys() & set(topics(agent))
        if agent.name not in checked and shared:
            topic = min(shared)
            _refuse(
                f"the plain agent {agent.name} shares topic {topic} with {owners[topic]}",
                f"decorate {agent.name} with @checkpoint() too",
            )


def topics(agent: AgentT[Any]) -> Sequence[str]:
    """Return the names of the topics that an agent reads."""
    return agent.channel.topics if isinstance(agent.channel, TopicT) else ()


def _check_agent(agent: AgentT[Any]) -> None:
    channel = agent.channel
    if not isinstance(channel, TopicT) or not channel.topics:
        _refuse(f"{agent.name} reads no named topic", "write @app.agent(app.topic('orders', ...))")
    if agent.concurrency != 1:
        _refuse(f"{agent.name} has concurrency={agent.concurrency}", "remove it: add partitions")
    if agent.isolated_partitions:
        _refuse(f"{agent.name} has isolated_partitions", "remove it: partitions have lanes anyway")
    if getattr(agent, "_sinks", ()):
        _refuse(f"{agent.name} has a sink", "send from the handler, before it returns ack(...)")
    defaults = agent.app.conf
    for part in ("key", "value"):
        serializer = getattr(channel.schema, f"{part}_serializer") or getattr(
            defaults, f"{part}_serializer"
        )
        if serializer != "raw" or getattr(channel.schema, f"{part}_type") not in (None, bytes):
            _refuse(
                f"the {part} of {agent.name}'s topic is decoded before the checkpoint sees it",
                f"write {part}_serializer='raw' on app.topic(...), and decode= on @checkpoint(...)",
            )


def _refuse(why: str, instead: str) -> None:
    msg = f"{why}; {instead}"
    raise ConfigurationError(msg)
