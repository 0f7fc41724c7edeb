"""A network between workers and their servers that can be as bad as networks are."""

import asyncio
import math
import random
import re
import struct
from asyncio import FIRST_COMPLETED, StreamReader, StreamWriter
from collections.abc import Coroutine
from socket import SO_LINGER, SOL_SOCKET
from threading import Thread
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from sqlalchemy import make_url

CHUNK = 65536
COMMIT = re.compile(rb"^Q....COMMIT|^....\x03COMMIT|c\0\0\0\x04\Z", re.DOTALL)
"""What a client of PostgreSQL or MariaDB sends before it waits for an answer; or a COPY's end."""
PERIOD = 3
"""Of so many COMMITs one is broken, so that work goes on meanwhile."""
RESET = struct.pack("ii", 1, 0)
RETRANSMISSION = 0.2
"""Seconds after which Linux sends again what nobody has acknowledged; twice as many each time."""

Breach: TypeAlias = Literal["drop", "swallow", "hold"]
"""What becomes of a COMMIT: it is lost, its reply is lost, or its reply never comes."""


class Proxy:
    """Passes bytes between clients and a server on loopback, unless told otherwise.

    It runs in a thread of its own while its block lasts.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.delay = 0.0
        """Seconds that each piece of an answer takes longer."""
        self.rate = math.inf
        """Bytes a second of each connection, in each direction."""
        self.loss = 0.0
        """The share of pieces that are lost, and sent again until they arrive."""
        self.broken = 0
        """How many COMMITs have met with a breach."""
        self._server_port = server_port
        self._breach: Breach = "drop"
        self._breaches = 0
        self._links: set[_Link] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._loop = asyncio.new_event_loop()
        self._open = asyncio.Event()
        self._open.set()
        self._thread = Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, database_url: str) -> str:
        """Return the URL of a database by way of this proxy."""
        return make_url(database_url).set(port=self.port).render_as_string(hide_password=False)

    def silence(self) -> None:
        """Pass no more bytes; connections stay, and new ones are accepted."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def resume(self) -> None:
        """Pass bytes again, with those that have waited first."""
        self._loop.call_soon_threadsafe(self._open.set)

    def cut(self) -> int:
        """Reset all connections; return how many there were."""
        count: int = self._run(self._cut())
        return count

    def breach(self, how: Breach, times: int) -> None:
        """Let this become of so many COMMITs, each behind some that are passed."""
        self._breach, self._breaches = how, times * PERIOD

    def next_breach(self) -> Breach | None:
        """Return what is to become of a COMMIT that has just arrived."""
        if not self._breaches:
            return None
        self._breaches -= 1
        return None if self._breaches % PERIOD else self._breach

    async def passed(self, piece: bytes) -> None:
        """Return once a piece has come through."""
        await asyncio.sleep(len(piece) / self.rate)
        wait = RETRANSMISSION
        while random.random() < self.loss:  # noqa: S311 - no secret
            await asyncio.sleep(wait)
            wait *= 2
        await self._open.wait()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            server = await asyncio.open_connection("127.0.0.1", self._server_port)
        except OSError:
            _reset(writer)
            return
        link = _Link(self, (reader, writer), server)
        self._links.add(link)
        self._idle.clear()
        await link.run()
        self._links.remove(link)
        if not self._links:
            self._idle.set()

    async def _cut(self) -> int:
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    async def _close(self) -> None:
        self._server.close()
        self._open.set()
        await self._cut()
        await self._idle.wait()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)


class _Link:
    """One client's connection."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[StreamReader, StreamWriter],
        server: tuple[StreamReader, StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._requests, self._client = client
        self._answers, self._server = server
        self._breach: Breach | None = None

    async def run(self) -> None:
        """Return when either side has gone, or the link was cut."""
        ways = [asyncio.create_task(self._ask()), asyncio.create_task(self._answer())]
        _, left = await asyncio.wait(ways, return_when=FIRST_COMPLETED)
        for way in left:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        """Reset both ends."""
        _reset(self._client)
        _reset(self._server)

    async def _ask(self) -> None:
        while data := await self._requests.read(CHUNK):
            await self._proxy.passed(data)
            if COMMIT.search(data):
                self._breach = self._proxy.next_breach()
            if self._breach == "drop":
                self._proxy.broken += 1
                return
            self._server.write(data)
            await self._server.drain()

    async def _answer(self) -> None:
        while data := await self._answers.read(CHUNK):
            if self._breach is not None:
                self._proxy.broken += 1
                if self._breach == "hold":
                    await asyncio.Event().wait()
                return
            await asyncio.sleep(self._proxy.delay)
            await self._proxy.passed(data)
            self._client.write(data)
            await self._client.drain()


def _reset(writer: StreamWriter) -> None:
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
        writer.transport.abort()
