"""The service of the end-to-end tests with agents on topics whose names look alike.

An event `{"id": "…", "fails": true}` fails for good.
"""

import os
from typing import Any

import faust

from app.checkpoint import Ack, Metadata
from tests.end_to_end import service

app: faust.App = service.app
checkpoint = service.checkpoint


async def handle(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await service.start(payload, metadata)
    if payload["fails"]:
        raise RuntimeError(payload["id"])
    return service.finish(payload, metadata)


for name in os.environ["NAMES"].split():
    agent = checkpoint(max_retries=0)(handle)
    app.agent(service.topic(name), name=name)(agent)
