"""The service of the end-to-end tests, with one more agent: some of its events end the process."""

import os
from signal import SIGKILL
from typing import Any

from app.checkpoint import Ack, Metadata
from tests.end_to_end.service import app, checkpoint, finish, start, topic

__all__ = ["app"]


@app.agent(topic("killing"))
@checkpoint()
async def killing(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have the process end at some events, as a bug in native code or too large a one does."""
    await start(payload, metadata)
    if payload["kills"]:
        os.kill(os.getpid(), SIGKILL)
    return finish(payload, metadata)
