"""The service under test: one agent of each kind, each on the topic `<group>.<agent>`.

A payload `{"id": "…", "seconds": 2}` has its handler take two seconds. Each run leaves two lines in
the journal, outside any transaction. While the flag `mended` is set, no handler is slow, and
retrying helps; while `held` is set, what was mended waits just before its end.
"""

import asyncio
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import faust
import mode.loop
from faust.types import TopicT
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Checkpoint, Metadata, ack
from app.web import Access, serve
from tests.end_to_end.effects import affect
from tests.end_to_end.flag import Flag
from tests.end_to_end.journal import Journal

HOLD_INTERVAL = 0.01

group = os.environ["GROUP"]
session_timeout = float(os.environ["SESSION_TIMEOUT"])
folder = Path(os.environ["FOLDER"])
journal = Journal(folder / "journal")
mended, held = Flag(folder / "mended"), Flag(folder / "held")
token = os.environ.get("API_TOKEN")

app = faust.App(
    group,
    broker=os.environ["BROKER_URL"],
    store="memory://",
    topic_disable_leader=True,
    topic_allow_declare=False,
    broker_session_timeout=session_timeout,
    broker_heartbeat_interval=session_timeout / 5,
    broker_commit_interval=0.1,
)
app.producer_only = "WEB_ONLY" in os.environ
# Some agents fail at every event on purpose.
checkpoint = Checkpoint(os.environ["DATABASE_URL"], grace=float(os.environ["GRACE"]), breaker=None)
checkpoint.install(app)
serve(
    app,
    checkpoint,
    tokens={sha256(token.encode()).digest(): Access(name="ops", full=True)} if token else {},
    masked_fields=os.environ.get("MASKED_FIELDS", "").split(),
)


@app.on_worker_init.connect
def use_uvloop(*_: Any, **__: Any) -> None:
    """Run on the event loop that the service runs on."""
    mode.loop.use("uvloop")


def topic(agent: str) -> TopicT:
    """Return the topic of an agent."""
    return app.topic(f"{group}.{agent}", key_serializer="raw", value_serializer="raw")


async def start(payload: dict[str, Any], metadata: Metadata) -> None:
    """Note the start of a run, which takes as long as the payload says."""
    journal.add("started", metadata)
    if not mended:
        await asyncio.sleep(payload.get("seconds", 0.0))


def describe(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Return what a payload says of its event."""
    time = payload.get("time", metadata.timestamp or 0)
    return ack(payload["id"], time, payload.get("type"), payload.get("version"))


def finish(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Note the end of a good run."""
    journal.add("finished", metadata)
    return describe(payload, metadata)


async def fail_unless_mended(payload: dict[str, Any]) -> None:
    """Raise what the payload says, or wait for as long as whoever has mended it wants."""
    if not mended:
        raise RuntimeError(payload["id"])
    while held:  # noqa: ASYNC110 - who clears it is another process
        await asyncio.sleep(HOLD_INTERVAL)


@app.agent(topic("plain"))
@checkpoint()
async def plain(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Have no effect but the journal's."""
    await start(payload, metadata)
    return finish(payload, metadata)


@app.agent(topic("transactional"))
@checkpoint(transactional=True)
async def transactional(payload: dict[str, Any], metadata: Metadata, session: AsyncSession) -> Ack:
    """Have an effect that can be counted."""
    await start(payload, metadata)
    await affect(session, metadata)
    return finish(payload, metadata)


@app.agent(topic("retrying"))
@checkpoint(max_retries=None, backoff=Backoff(min=3600, max=3600))
async def retrying(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Fail and wait an hour, until mended."""
    await start(payload, metadata)
    if not mended:
        raise RuntimeError(payload["id"])
    return finish(payload, metadata)


@app.agent(topic("failing"))
@checkpoint(max_retries=0, describe=describe)
async def failing(payload: dict[str, Any], metadata: Metadata) -> Ack | None:
    """Fail for good, until mended; then skip what wants to be skipped."""
    await start(payload, metadata)
    await fail_unless_mended(payload)
    return None if payload.get("skip") else finish(payload, metadata)


@app.agent(topic("undone"))
@checkpoint(max_retries=0, transactional=True)
async def undone(payload: dict[str, Any], metadata: Metadata, session: AsyncSession) -> Ack:
    """Have an effect, and then fail for good, until mended."""
    await start(payload, metadata)
    await affect(session, metadata)
    await fail_unless_mended(payload)
    return finish(payload, metadata)


def decode(value: bytes) -> dict[str, Any]:
    """Read what is no JSON."""
    return {"id": value.decode()}


@app.agent(topic("shared"))
@checkpoint(max_retries=0, decode=decode)
async def left(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Take its own copy of each event, and fail for good, until mended."""
    await fail_unless_mended(payload)
    return ack(payload["id"], metadata.timestamp or 0, "left")


@app.agent(topic("shared"))
@checkpoint(max_retries=0, decode=decode)
async def right(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Do the same for itself."""
    await fail_unless_mended(payload)
    return ack(payload["id"], metadata.timestamp or 0, "right")


@app.agent(topic("webhooks"))
@checkpoint()
async def webhooks(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Record what GitHub sends, by the name that its header gives."""
    journal.add("started", metadata)
    name = dict(metadata.headers)["X-GitHub-Event"] or b""
    about = payload.get("repository") or payload.get("organization") or {"id": name.decode()}
    return ack(about["id"], metadata.timestamp or 0, name.decode(), payload.get("action"))


@app.agent(topic("anything"))
@checkpoint(max_retries=0)
async def anything(_: Any, metadata: Metadata) -> Ack:
    """Record whatever can be decoded."""
    journal.add("started", metadata)
    return ack(metadata.offset, metadata.timestamp or 0)


@app.agent(topic("flaky"))
@checkpoint(max_retries=3, backoff=Backoff(min=0.5, max=0.5))
async def flaky(payload: dict[str, Any], metadata: Metadata) -> Ack:
    """Fail as often as the payload says."""
    await start(payload, metadata)
    if metadata.attempt <= payload["failures"]:
        raise RuntimeError(payload["id"])
    return finish(payload, metadata)
