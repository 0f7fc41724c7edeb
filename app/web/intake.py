"""Takes in the body of a request: in time, of a bearable size, and as JSON."""

import asyncio

from aiohttp.web import (
    HTTPRequestEntityTooLarge,
    HTTPRequestTimeout,
    HTTPUnsupportedMediaType,
    Request,
    StreamResponse,
    middleware,
)

from app.web.security import SAFE, Handler

MAX_BODY = 64 * 1024
"""Bytes of a body; it must fit into an aiohttp Application's `client_max_size`."""


class Intake:
    """Reads each body before a view sees the request; the view's own `read` waits no more."""

    def __init__(self, *, patience: float) -> None:
        self._patience = patience
        """Seconds that a body may take."""

    @middleware
    async def read(self, request: Request, handler: Handler) -> StreamResponse:
        """Pass on a request whose body is there.

        Raises:
            HTTPUnsupportedMediaType: it is not JSON.
            HTTPRequestEntityTooLarge: it is larger than 64 KiB.
            HTTPRequestTimeout: it does not arrive.
        """
        if request.method not in SAFE and request.body_exists:
            _check(request)
            try:
                async with asyncio.timeout(self._patience):
                    await request.read()
            except TimeoutError:
                raise HTTPRequestTimeout(text="the body did not arrive in time") from None
        return await handler(request)


def _check(request: Request) -> None:
    size = request.content_length
    # Of one that does not tell its size, as much is read as may be.
    if size is not None and size > MAX_BODY:
        raise HTTPRequestEntityTooLarge(MAX_BODY, size)
    if request.content_type != "application/json":
        raise HTTPUnsupportedMediaType(text="send a body as Content-Type: application/json")
