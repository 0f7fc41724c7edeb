"""The service of the end-to-end tests with failpoints, and with agents that fail now and then.

A payload `{"id": "…", "failures": 1}` has its handler raise at the first attempt; there are two.
"""

import os
from typing import Any

import faust
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Metadata
from tests.end_to_end import service
from tests.end_to_end.effects import effects
from tests.faults import failpoints

app: faust.App = service.app
checkpoint = service.checkpoint
BACKOFF = Backoff(min=0.02, max=0.02)

if "FAILPOINTS" in os.environ:
    failpoints.install(os.environ["FAILPOINTS"], service)


async def affect(session: AsyncSession, metadata: Metadata) -> None:
    """Have an effect that can be counted."""
    place = {name: getattr(metadata, name) for name in ("topic", "partition", "offset")}
    await session.execute(insert(effects).values(pid=os.getpid(), **place))


def fail(payload: dict[str, Any], metadata: Metadata) -> None:
    """Raise as often as the payload says."""
    if metadata.attempt <= payload.get("failures", 0):
        raise RuntimeError(payload["id"])


@app.agent(service.topic("fallible"))
@checkpoint(max_retries=1, backoff=BACKOFF)
async def fallible(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await service.start(payload, metadata)
    fail(payload, metadata)
    return service.finish(payload, metadata)


@app.agent(service.topic("fallible_transactional"))
@checkpoint(max_retries=1, backoff=BACKOFF, transactional=True)
async def fallible_transactional(
    payload: dict[str, Any], metadata: Metadata, session: AsyncSession
) -> Ack:
    """Have an effect before it fails."""
    await service.start(payload, metadata)
    await affect(session, metadata)
    fail(payload, metadata)
    return service.finish(payload, metadata)
