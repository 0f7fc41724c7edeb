"""One line of the log for each request, without secrets."""

import logging
import re
import time
import traceback
from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import unquote_plus

from aiohttp.web import BaseRequest, Request, StreamResponse, middleware

from app.checkpoint import one_line
from app.web.errors import FAULT
from app.web.masking import HIDDEN, Mask
from app.web.origins import address_of
from app.web.security import ACCESS, Handler, request_id_of

logger = logging.getLogger("app.web")

LONGEST = 200
"""Characters of what a proxy says of whom it speaks for."""
TOKEN = re.compile(r"[\w~.-]{32,}", re.ASCII)


class RequestLog:
    """Writes down who asked for what, how it went and how long it took."""

    def __init__(self, mask: Mask, *, is_token: Callable[[str], bool]) -> None:
        self._mask = mask
        self._is_token = is_token

    @middleware
    async def write(self, request: Request, handler: Handler) -> StreamResponse:
        """Pass the request on, and write it down when it is answered."""
        started = time.perf_counter()
        response = await handler(request)
        self.line(request, response, seconds=time.perf_counter() - started)
        return response

    def line(self, request: BaseRequest, response: StreamResponse, *, seconds: float) -> None:
        """Write a line: an error where the fault is not the caller's."""
        access, fault = request.get(ACCESS), request.get(FAULT)
        fields: dict[str, object] = {
            "remote_address": address_of(request),
            "forwarded_for": request.headers.get("X-Forwarded-For", "")[:LONGEST] or None,
            "remote_user": access and access.name,
            "request_method": request.method,
            "path": self._target(request),
            "status": str(response.status),
            "content_length": response.content_length or None,
            "request_time": f"{seconds:.3f}s",
            "request_id": request_id_of(request),
        }
        if fault is None:
            _log(logging.INFO, fields)
        elif response.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            _log(logging.INFO, fields | {"exception_class": type(fault).__name__})
        else:
            _log(logging.ERROR, fields | self._error(fault))

    def _target(self, request: BaseRequest) -> str:
        path, mark, query = request.raw_path.partition("?")
        query = "&".join(map(self._parameter, query.split("&")))
        version = request.version
        return self._clean(f"{path}{mark}{query} HTTP/{version.major}.{version.minor}")

    def _parameter(self, text: str) -> str:
        name, mark, value = text.partition("=")
        [[_, shown]] = self._mask.pairs([(unquote_plus(name), value)])
        return f"{name}{mark}{shown}"

    def _error(self, error: BaseException) -> dict[str, object]:
        lines = traceback.format_exception(error)
        return {
            "exception_class": type(error).__qualname__,
            "exception_message": self._clean(str(error)),
            "backtrace": [self._clean(line) for line in lines],
        }

    def _clean(self, text: str) -> str:
        """Hide what is secret wherever it may have come from."""
        text = self._mask.text(text)
        return TOKEN.sub(lambda word: HIDDEN if self._is_token(word[0]) else word[0], text)


def _log(level: int, fields: dict[str, object]) -> None:
    told = {name: value for name, value in fields.items() if value is not None}
    logger.log(level, "web.request %s", one_line(told), extra=fields)
