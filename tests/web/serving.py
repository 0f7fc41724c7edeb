"""The web server on a port of this machine, in front of a few views."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import faust
from aiohttp import ClientSession
from aiohttp.test_utils import unused_port
from aiohttp.web import Request, Response, StreamResponse, json_response

from app.checkpoint import ConflictError, HandlerError, NotFoundError, ReplayError
from app.web.masking import Mask
from app.web.security import Access, Handler, access_of, request_id_of
from app.web.server import WebServer

FULL, READ, NARROW = "full-" + "f" * 32, "read-" + "r" * 32, "narrow-" + "n" * 32
TOKENS = {
    sha256(FULL.encode()).digest(): Access(name="ops", full=True),
    sha256(READ.encode()).digest(): Access(name="dashboard", full=False),
    sha256(NARROW.encode()).digest(): Access(name="bills", full=True, topics=frozenset({"bills"})),
}
JSON = {"Content-Type": "application/json"}
RAISED = {
    "/not-found": NotFoundError("no such failure"),
    "/conflict": ConflictError("it is being retried", status="retrying"),
    "/handler": HandlerError("card 4111 was declined", error_class="shop.DeclinedError"),
    "/replay": ReplayError("there is no agent of that name"),
    "/bug": RuntimeError("postgresql://me:s3cret@host/name"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A server that listens, and a client of it."""

    server: WebServer
    client: ClientSession
    port: int

    async def connect(self, *, sent: bytes = b"") -> tuple[asyncio.StreamReader, Any]:
        """Open a connection by hand and send this."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    async def ask(self, sent: bytes) -> bytes:
        """Send this and return all that is answered until the connection is closed."""
        reader, writer = await self.connect(sent=sent)
        answer = await reader.read()
        writer.close()
        return answer

    @property
    def connections(self) -> int:
        """How many the server holds."""
        runner = self.server._runner.server  # noqa: SLF001 - nobody else knows
        return len(runner.connections) if runner else 0


@asynccontextmanager
async def serving(
    *,
    tokens: Mapping[bytes, Access] | None = None,
    masked: Sequence[str] = (),
    patience: float = 10.0,
    bind: str = "127.0.0.1",
    views: Mapping[str, Handler] | None = None,
) -> AsyncIterator[Served]:
    """Serve, on a port that is free."""
    port = unused_port()
    app = faust.App("test", broker="kafka://nowhere", web_bind=bind, web_port=port)
    server = WebServer(app, tokens=tokens or {}, mask=Mask(masked), patience=patience)
    router = server.web_app.router
    for path, view in (_VIEWS | dict(views or {})).items():
        router.add_get(path, view)
    router.add_post("/v1/me", _me)
    router.add_delete("/v1/me", _me)
    await server.start_server()
    try:
        async with ClientSession(f"http://127.0.0.1:{port}") as client:
            yield Served(server=server, client=client, port=port)
    finally:
        await server.stop_server()


def bearer(token: str) -> dict[str, str]:
    """Return the header that shows a token."""
    return {"Authorization": f"Bearer {token}"}


async def _ping(_: Request) -> Response:
    return Response(text="PONG")


async def _me(request: Request) -> Response:
    access = access_of(request)
    topics = access.topics and sorted(access.topics)
    size = len(await request.read())
    me = {"name": access.name, "full": access.full, "topics": topics, "size": size}
    return json_response(me | {"request_id": request_id_of(request)})


def _raiser(error: Exception) -> Handler:
    async def view(_: Request) -> StreamResponse:
        raise error

    return view


_VIEWS: dict[str, Handler] = {
    "/ping": _ping,
    "/v1/me": _me,
    **{path: _raiser(error) for path, error in RAISED.items()},
}
