"""A service with rows in its database, and its web server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from app.web import Access, serve
from app.web.server import WebServer
from tests.checkpoint.desk import Desk

Client = TestClient[Request, Application]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a test asks over HTTP, and the service behind it."""

    client: Client
    desk: Desk
    server: WebServer

    async def get(self, path: str, **query: Any) -> Any:
        """Return what a request that must succeed is answered with."""
        return await self.told(await self.client.get(path, params=query), 200)

    async def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        """Return what a request with a JSON body is answered with."""
        return await self.told(await self.client.post(path, json=body or {}), status)

    async def told(self, response: ClientResponse, status: int) -> Any:
        """Return the JSON of an answer of this status."""
        told = await response.json()
        assert response.status == status, told
        return told


@asynccontextmanager
async def served(
    database_url: str,
    *,
    tokens: Mapping[str, Access] | None = None,
    masked_fields: Sequence[str] = (),
    **options: Any,
) -> AsyncIterator[Served]:
    """Serve a desk over HTTP, as `main` serves the service; without tokens, to this machine."""
    async with Desk(database_url, **options).opened() as desk:
        digests = {
            sha256(token.encode()).digest(): access for token, access in (tokens or {}).items()
        }
        server = serve(desk.app, desk.checkpoint, tokens=digests, masked_fields=masked_fields)
        async with TestClient(TestServer(await server.wsgi())) as client:
            yield Served(client=client, desk=desk, server=server)
