"""Faust's web server with a door, and with an end to its patience."""

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp.web import Application, AppRunner, BaseRequest, Server, StreamResponse
from aiohttp.web_protocol import RequestHandler
from faust.types import AppT
from faust.web.drivers.aiohttp import Web

from app.web.errors import FAULT, Errors, error_response
from app.web.intake import MAX_BODY, Intake
from app.web.log import RequestLog
from app.web.masking import Mask
from app.web.origins import is_loopback
from app.web.security import Access, Door, request_id_of

PATIENCE = 10.0
"""Seconds that a connection may be idle, a body may take, or an answer may wait for its reader."""
LINGER_SECONDS = 1.0
"""How long what nobody wants of a request is still read, so that its sender reads the answer."""
SHUTDOWN_SECONDS = 10.0
"""How long requests in hand may hold up the end of a worker."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""Of every answer; a view may have set others."""
SERVER = {"Server": "service"}
"""In the place of aiohttp's own, which tells its version and Python's."""


class WebServer(Web):
    """What a worker serves over HTTP; without tokens, to this machine only."""

    def __init__(
        self,
        app: AppT,
        *,
        tokens: Mapping[bytes, Access],
        mask: Mask,
        patience: float = PATIENCE,
    ) -> None:
        super().__init__(app)
        self._has_tokens = bool(tokens)
        door, errors = Door(tokens), Errors(mask)
        log = RequestLog(mask, is_token=door.is_token)
        self.web_app = Application(
            client_max_size=MAX_BODY,
            middlewares=[log.write, errors.answer, door.admit, Intake(patience=patience).read],
        )
        self.web_app.on_response_prepare.append(_add_headers)
        self._runner = _Runner(self.web_app, errors=errors, log=log, patience=patience)

    async def start_server(self) -> None:
        """Listen, unless anybody could then do anything.

        Raises:
            SystemExit: there are no tokens, and others can reach the address.
        """
        address = self.app.conf.web_bind
        if not self._has_tokens and not is_loopback(address):
            msg = (
                f"The worker does not start: whoever reaches {address} could do anything; set"
                " API_TOKENS, or listen on 127.0.0.1"
            )
            raise SystemExit(msg)
        await super().start_server()


class _Runner(AppRunner):
    """Has connections that do not wait for ever, and errors of the protocol told as all others."""

    __slots__ = ("_errors", "_log", "_patience")

    def __init__(
        self, app: Application, *, errors: Errors, log: RequestLog, patience: float
    ) -> None:
        super().__init__(app, shutdown_timeout=SHUTDOWN_SECONDS)
        self._errors = errors
        self._log = log
        self._patience = patience

    async def _make_server(self) -> Server:
        server = await super()._make_server()
        # An expectation that is not met ends before the middlewares.
        handler = partial(self._errors.answer, handler=server.request_handler)
        return _Server(
            handler,
            request_factory=server.request_factory,
            log=self._log,
            patience=self._patience,
        )


class _Server(Server):
    def __init__(self, *handler: Any, log: RequestLog, patience: float, **options: Any) -> None:
        super().__init__(*handler, **options)
        self._log = log
        self._patience = patience

    def __call__(self) -> RequestHandler:
        return _Connection(self, log=self._log, patience=self._patience)


class _Connection(RequestHandler):
    __slots__ = ("_log", "_patience")

    def __init__(self, server: Server, *, log: RequestLog, patience: float) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=patience,
            lingering_time=min(LINGER_SECONDS, patience),
            access_log=None,  # type: ignore[arg-type] # it is what turns the log off
            # A small body could become a large one.
            auto_decompress=False,
        )
        self._log = log
        self._patience = patience

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it repeats what was sent, tokens and all
    ) -> StreamResponse:
        """Answer what is no HTTP, or what the application could not answer, and end there."""
        what = HTTPStatus(status).phrase.lower()
        response = error_response(request, status, what)
        if exc is not None:
            request[FAULT] = exc
        self._log.line(request, response, seconds=0)
        if request.writer.output_size > 0:
            msg = "the answer has begun: it cannot become an error"
            raise ConnectionError(msg)
        response.headers.update(_headers(request) | SERVER)
        response.force_close()
        return response

    async def finish_response(
        self, request: BaseRequest, resp: StreamResponse, start_time: float | None
    ) -> tuple[StreamResponse, bool]:
        """Send the answer; who does not read it is hung up on."""
        try:
            async with asyncio.timeout(self._patience):
                return await super().finish_response(request, resp, start_time)
        except TimeoutError:
            if self.transport is not None:
                # To close it would be to wait until all is read.
                self.transport.abort()
            return resp, True


async def _add_headers(request: BaseRequest, response: StreamResponse) -> None:
    for name, value in _headers(request).items():
        response.headers.setdefault(name, value)
    response.headers.update(SERVER)


def _headers(request: BaseRequest) -> dict[str, str]:
    return {**HEADERS, "X-Request-Id": request_id_of(request)}
