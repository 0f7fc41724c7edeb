"""The service of the end-to-end tests with failpoints, and with agents of its own.

Those called fallible raise at the first attempt if the payload is `{"id": "…", "failures": 1}`;
there are two attempts. Those called awkward do what `misdeeds.py` says.
"""

import os
from typing import Any

import faust
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Metadata
from tests.end_to_end import service
from tests.end_to_end.effects import affect
from tests.faults import failpoints
from tests.faults.misdeeds import block, misbehave

app: faust.App = service.app
checkpoint = service.checkpoint
BACKOFF = Backoff(min=0.02, max=0.02)

if "REBALANCE_TIMEOUT" in os.environ:
    app.conf.broker_rebalance_timeout = float(os.environ["REBALANCE_TIMEOUT"])
if "FAILPOINTS" in os.environ:
    failpoints.install(os.environ["FAILPOINTS"], service)


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


def block_if_told_to(payload: dict[str, Any]) -> None:
    """Stand still where this process was started to do so."""
    if payload["does"] == "block" and "BLOCKS" in os.environ:
        block(until=service.mended)


@app.agent(service.topic("awkward"))
@checkpoint(max_retries=1, backoff=BACKOFF, timeout=0.3, breaker=None)
async def awkward(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Do what no handler should."""
    await service.start(payload, metadata)
    await misbehave(payload["does"], None, mended=service.mended)
    block_if_told_to(payload)
    return service.finish(payload, metadata)


@app.agent(service.topic("awkward_transactional"))
@checkpoint(max_retries=1, backoff=BACKOFF, timeout=0.3, breaker=None, transactional=True)
async def awkward_transactional(
    payload: dict[str, Any], metadata: Metadata, session: AsyncSession
) -> Ack:
    """Have an effect, and then do what no handler should."""
    await service.start(payload, metadata)
    await affect(session, metadata)
    await misbehave(payload["does"], session, mended=service.mended)
    block_if_told_to(payload)
    return service.finish(payload, metadata)
