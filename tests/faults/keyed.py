"""The service of the end-to-end tests with an agent that is ordered by key.

One event in fifty fails at its first attempt, so that others are done beyond it while it waits.
"""

from typing import Any

import faust

from app.checkpoint import Ack, Backoff, Metadata
from tests.end_to_end import service

app: faust.App = service.app
checkpoint = service.checkpoint


@app.agent(service.topic("keyed"))
@checkpoint(ordered_by="key", concurrency=16, backoff=Backoff(min=0.5, max=0.5))
async def keyed(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await service.start(payload, metadata)
    if payload["id"] % 50 == 0 and metadata.attempt == 1:
        raise RuntimeError(payload["id"])
    return service.finish(payload, metadata)
