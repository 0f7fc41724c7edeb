"""The service of the end-to-end tests with agents that need something: it is there once `mended`.

The first probe of a paused agent follows after PROBE_SECONDS, by default at once.
"""

import os
from typing import Any

import faust
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Breaker, Metadata
from tests.end_to_end import service
from tests.end_to_end.effects import effects

app: faust.App = service.app
checkpoint = service.checkpoint

MAX_RETRIES = 1
BUDGET = 10
probe_seconds = float(os.environ.get("PROBE_SECONDS", "0.1"))
backoff = Backoff(min=0.02, max=0.02)
breaker = Breaker(failures=BUDGET, probe=Backoff(min=probe_seconds, max=probe_seconds))


def ask() -> None:
    """Ask what the handlers need."""
    if not service.mended:
        raise ConnectionRefusedError


@app.agent(service.topic("dependent"))
@checkpoint(max_retries=MAX_RETRIES, backoff=backoff, breaker=breaker)
async def dependent(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await service.start(payload, metadata)
    ask()
    return service.finish(payload, metadata)


@app.agent(service.topic("dependent_transactional"))
@checkpoint(max_retries=MAX_RETRIES, backoff=backoff, breaker=breaker, transactional=True)
async def dependent_transactional(
    payload: dict[str, Any], metadata: Metadata, session: AsyncSession
) -> Ack:
    """Have an effect before it fails."""
    await service.start(payload, metadata)
    place = {name: getattr(metadata, name) for name in ("topic", "partition", "offset")}
    await session.execute(insert(effects).values(pid=os.getpid(), **place))
    ask()
    return service.finish(payload, metadata)
