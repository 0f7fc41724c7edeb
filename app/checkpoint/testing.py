"""The whole pipeline for given bytes, with no Kafka: for the tests of your agents."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from faust.types import AgentT
from mode.utils.objects import canonshortname

from app.checkpoint.attempts import Handler
from app.checkpoint.database import Database
from app.checkpoint.decorator import Checkpointed
from app.checkpoint.errors import ConfigurationError
from app.checkpoint.events import Headers, make_record
from app.checkpoint.lanes import settle_alone
from app.checkpoint.models import Model
from app.checkpoint.outages import Outages
from app.checkpoint.outcomes import Ack
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.reports import Reports
from app.checkpoint.retry import Backoff

GROUP_ID = "test-group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one event."""

    outcome: Literal["acknowledged", "skipped", "duplicate", "failed"]
    ack: Ack | None = None
    """What the handler returned, when acknowledged."""
    error: BaseException | None = None
    """What the last attempt raised, when failed."""
    attempts: int | None = None
    """How many attempts were made, when failed."""


@asynccontextmanager
async def database(url: str = "sqlite:///:memory:") -> AsyncIterator[Database]:
    """Open a database with all tables of the service, in memory unless a URL is given."""
    opened = Database(url)
    try:
        async with opened.engine.begin() as connection:
            await connection.run_sync(Model.metadata.create_all)
        yield opened
    finally:
        await opened.close()


async def process(  # noqa: PLR0913 - one for each field of a message
    agent: AgentT[Any] | Checkpointed,
    value: bytes | None,
    *,
    into: Database | None = None,
    topic: str = "test-topic",
    partition: int = 0,
    offset: int = 13,
    key: bytes | None = None,
    headers: Headers = (),
    timestamp: float | None = None,
) -> Result:
    """Run one event through decoding, dedupe, the handler with its retries, and recording.

    Retries follow at once, without backoff. Without a database to write `into`, each call gets an
    empty one, and nothing is a duplicate. Who listens to the checkpoint's notifications is told.
    """
    record = make_record(
        value,
        topic=topic,
        partition=partition,
        offset=offset,
        key=key,
        headers=headers,
        timestamp=timestamp,
    )
    async with AsyncExitStack() as stack:
        if into is None:
            into = await stack.enter_async_context(database())
        outcomes = await settle_alone(_pipeline(agent, into).settle, record)
    if outcomes.acked:
        return Result(outcome="acknowledged", ack=outcomes.acked[0][1])
    if outcomes.failed:
        failed = outcomes.failed[0]
        return Result(outcome="failed", error=failed.error, attempts=failed.metadata.attempt)
    return Result(outcome="duplicate" if outcomes.duplicates else "skipped")


def _pipeline(agent: AgentT[Any] | Checkpointed, into: Database) -> Pipeline:
    if isinstance(agent, Checkpointed):
        decorated, name = agent, canonshortname(agent)
    elif isinstance(agent.fun, Checkpointed):
        decorated, name = agent.fun, agent.name
    else:
        msg = f"{agent} is not checkpointed: decorate its handler with @checkpoint()"
        raise ConfigurationError(msg)
    options = replace(decorated.options, backoff=Backoff(min=0.0, max=0.0, jitter=0.0))
    handler = Handler(decorated.function, options, agent=name, group_id=GROUP_ID)
    checkpoint = decorated.checkpoint
    reports = Reports(handler, checkpoint.notifications, redact=checkpoint.redact)
    return Pipeline(handler, database=into, outages=Outages(), reports=reports)
