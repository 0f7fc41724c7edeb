"""The service of the end-to-end tests with agents some of whose events end the process.

A payload `{"id": "…", "dies": "segfault"}` says how; `"in": "decoder"` that it does not wait for
the handler.
"""

import ctypes
import os
from collections.abc import Callable
from signal import SIGKILL
from typing import Any

import faust
import orjson
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Metadata
from tests.end_to_end import service
from tests.end_to_end.effects import effects

app: faust.App = service.app
checkpoint = service.checkpoint


def leave() -> None:
    """End at once, as an extension module may that knows no better."""
    os._exit(1)


def read_nothing() -> None:
    """Read where there is no memory."""
    ctypes.string_at(0)


def exit_in_order() -> None:
    """Raise what no handler of errors may catch."""
    raise SystemExit(1)


def be_killed() -> None:
    """Do as the kernel does when memory runs out."""
    os.kill(os.getpid(), SIGKILL)


WAYS: dict[str, Callable[[], None]] = {
    "exit": leave,
    "segfault": read_nothing,
    "system_exit": exit_in_order,
    "kill": be_killed,
}


def decode(value: bytes) -> dict[str, Any]:
    """Read JSON, and end the process where it says so."""
    payload: dict[str, Any] = orjson.loads(value)
    if payload.get("in") == "decoder":
        WAYS[payload["dies"]]()
    return payload


def die(payload: dict[str, Any]) -> None:
    """End the process if the payload says so."""
    if "dies" in payload:
        WAYS[payload["dies"]]()


@app.agent(service.topic("killers"))
@checkpoint(decode=decode)
async def killers(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await service.start(payload, metadata)
    die(payload)
    return service.finish(payload, metadata)


@app.agent(service.topic("killers_by_key"))
@checkpoint(decode=decode, ordered_by="key")
async def killers_by_key(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's, side by side with others."""
    await service.start(payload, metadata)
    die(payload)
    return service.finish(payload, metadata)


@app.agent(service.topic("killers_transactional"))
@checkpoint(decode=decode, transactional=True)
async def killers_transactional(
    payload: dict[str, Any], metadata: Metadata, session: AsyncSession
) -> Ack:
    """Have an effect that can be counted."""
    await service.start(payload, metadata)
    place = {name: getattr(metadata, name) for name in ("topic", "partition", "offset")}
    await session.execute(insert(effects).values(pid=os.getpid(), **place))
    die(payload)
    return service.finish(payload, metadata)
