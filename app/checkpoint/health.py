"""Whether the service can do its work: what a load balancer asks, and an operator first."""

import asyncio
import time
from math import inf
from typing import TYPE_CHECKING

from faust.types import AppT
from sqlalchemy.exc import SQLAlchemyError

from app.checkpoint.consumer import Consumer, Transport
from app.checkpoint.errors import SchemaError
from app.checkpoint.queries.reader import Reader
from app.checkpoint.startup import topics

if TYPE_CHECKING:
    from app.checkpoint.decorator import Checkpoint

OK = "ok"
ANSWER_SECONDS = 2.0
"""How long the database may take to answer."""
FRESH_SECONDS = 2.0
"""How long its answer counts: anybody may ask us, and the database is not to suffer from it."""
POLL_SECONDS = 15.0
"""After so long without a poll the group is about to do without this worker."""


class Health:
    """Looks at the database, and in a worker also at agents, consumer and lanes."""

    def __init__(self, checkpoint: "Checkpoint", app: AppT, reader: Reader) -> None:
        self._checkpoint = checkpoint
        self._app = app
        self._reader = reader
        self._asking = asyncio.Lock()
        self._asked_at = -inf
        self._told: dict[str, str] = {}

    async def checks(self) -> dict[str, str]:
        """Return for each thing that was looked at `ok`, or a sentence without any secret."""
        found = dict(await self._database())
        if isinstance(self._app.transport, Transport):
            found["agents"] = self._agents()
            found["consumer"] = self._consumer()
            found["lanes"] = self._lanes(self._app.transport)
        return found

    async def _database(self) -> dict[str, str]:
        async with self._asking:
            if time.monotonic() - self._asked_at > FRESH_SECONDS:
                self._told = await self._ask()
                self._asked_at = time.monotonic()
            return self._told

    async def _ask(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._reader.check_schema()
        except SchemaError as error:
            return {"database": OK, "schema": str(error)}
        except (SQLAlchemyError, OSError):
            # Not in its own words: they may name hosts and users.
            return {"database": "it does not answer", "schema": "not known"}
        return {"database": OK, "schema": OK}

    def _agents(self) -> str:
        complaints = (circuit.complaint() for circuit in self._checkpoint.circuits)
        return "; ".join(filter(None, complaints)) or OK

    def _consumer(self) -> str:
        consumer = self._app.consumer
        if not isinstance(consumer, Consumer) or consumer.polled_at is None:
            return "it has not joined its group yet"
        silence = time.monotonic() - consumer.polled_at
        return OK if silence < POLL_SECONDS else f"it has not polled for {silence:.0f} seconds"

    def _lanes(self, transport: Transport) -> str:
        since = self._checkpoint.outages.since
        if since is not None:
            lasted = time.monotonic() - since
            return f"the database has taken no outcomes for {lasted:.0f} seconds"
        limits = self._limits()
        for topic, seconds in transport.lanes.in_hand():
            if seconds > limits[topic]:
                return f"an event has been in hand for {seconds:.0f} seconds"
        return OK

    def _limits(self) -> dict[str, float]:
        """Return for each topic how long a batch may be in the hands of its slowest agent."""
        limits: dict[str, float] = {}
        for agent, handler in self._checkpoint.agents(self._app):
            timeout = handler.options.timeout
            # The decoder may take as long as the handler.
            limit = inf if timeout is None else 2 * timeout + self._checkpoint.grace
            for topic in topics(agent):
                limits[topic] = max(limits.get(topic, 0.0), limit)
        return limits
