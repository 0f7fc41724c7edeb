"""What may come upon the API: somebody who asks for everything, and many who only hold it up."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from socket import SO_RCVBUF, SOL_SOCKET, socket

from aiohttp import ClientConnectionError, ClientSession

from app.web.params import MAX_LIMIT
from benchmarks.api.calls import Call

RATE = 20
"""Requests a second of the one who asks."""
REQUEST = f"GET /v1/events?limit={MAX_LIMIT} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
PAUSE = 1.0
"""Seconds between two bytes of those who take their time."""


@asynccontextmanager
async def load(port: int, calls: Sequence[Call]) -> AsyncIterator[Counter[int]]:
    """Put load on the server of a port; count the answers to whoever waits for them by status."""
    answers = Counter[int]()
    async with ClientSession(f"http://127.0.0.1:{port}") as session, asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(session, calls, answers))]
        for burden, number in BURDENS.items():
            tasks += [group.create_task(_burden(port, burden)) for _ in range(number)]
        yield answers
        for task in tasks:
            task.cancel()


async def _ask(session: ClientSession, calls: Sequence[Call], answers: Counter[int]) -> None:
    """Ask at an even rate, whether or not what was asked before is answered."""
    chance = random.Random(RATE)  # noqa: S311 - not for secrets
    async with asyncio.TaskGroup() as group:
        while True:
            for call in chance.sample(calls, len(calls)):
                group.create_task(_get(session, chance.choice(call.paths), answers))
                await asyncio.sleep(1 / RATE)


async def _get(session: ClientSession, path: str, answers: Counter[int]) -> None:
    # The worker may not be up yet, or be gone already.
    with suppress(ClientConnectionError):
        async with session.get(path) as response:
            await response.read()
            answers[response.status] += 1


async def _burden(port: int, burden: "Burden") -> None:
    """Hold connections, each until the server ends it."""
    loop = asyncio.get_running_loop()
    while True:
        # Not all of them in step.
        await asyncio.sleep(PAUSE * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
        with socket() as connection, suppress(OSError):
            connection.settimeout(0)
            # The least there is: what is not read stays with the server.
            connection.setsockopt(SOL_SOCKET, SO_RCVBUF, 1)
            await loop.sock_connect(connection, ("127.0.0.1", port))
            await burden(connection)


async def _say_nothing(connection: socket) -> None:
    await asyncio.get_running_loop().sock_recv(connection, 1)


async def _ask_slowly(connection: socket) -> None:
    for byte in REQUEST[:-1]:
        await asyncio.get_running_loop().sock_sendall(connection, bytes([byte]))
        await asyncio.sleep(PAUSE)


async def _read_slowly(connection: socket) -> None:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(connection, REQUEST)
    while await loop.sock_recv(connection, 1):  # noqa: ASYNC110 - to be slow is the point
        await asyncio.sleep(PAUSE)


Burden = Callable[[socket], Awaitable[None]]
BURDENS: dict[Burden, int] = {_say_nothing: 250, _ask_slowly: 200, _read_slowly: 50}
"""How many hold a connection in which way."""
