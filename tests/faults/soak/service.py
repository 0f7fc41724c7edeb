"""The service of the end-to-end tests, with agents of the other kinds.

One has its events handled side by side, in order by key; some events of the other end the process.
"""

import os
from signal import SIGKILL
from typing import Any

from app.checkpoint import Ack, Metadata
from tests.end_to_end.service import app, checkpoint, finish, start, topic

__all__ = ["app"]


@app.agent(topic("keyed"))
@checkpoint(ordered_by="key", concurrency=16)
async def keyed(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await start(payload, metadata)
    return finish(payload, metadata)


@app.agent(topic("killing"))
@checkpoint()
async def killing(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have the process end at some events, as a bug in native code or too large a one does."""
    await start(payload, metadata)
    if payload["kills"]:
        os.kill(os.getpid(), SIGKILL)
    return finish(payload, metadata)
