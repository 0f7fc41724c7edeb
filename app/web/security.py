"""Who may do what: everything needs access, but for what is open to all."""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NoReturn, TypeAlias
from uuid import uuid4

from aiohttp.web import (
    BaseRequest,
    HTTPForbidden,
    HTTPTooManyRequests,
    HTTPUnauthorized,
    Request,
    RequestKey,
    StreamResponse,
    middleware,
)

from app.web.origins import address_of, check_local, check_same_site
from app.web.throttle import Throttle

Handler: TypeAlias = Callable[[Request], Awaitable[StreamResponse]]

OPEN = frozenset(
    (method, path)
    for method in ("GET", "HEAD")
    for path in ("/ping", "/health/live", "/health/ready")
)
"""What everybody may ask, by the path of the route; whatever is not here needs access."""
SAFE = frozenset({"GET", "HEAD"})
BEARER = {"WWW-Authenticate": "Bearer"}
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asks, and what they may do."""

    name: str
    full: bool
    """Whether they may change anything; if not, they read."""
    topics: frozenset[str] | None = None
    """The only topics that they may see; None: all."""


LOCAL = Access(name="local", full=True)
ACCESS = RequestKey("access", Access)
REQUEST_ID = RequestKey("request_id", str)


def access_of(request: BaseRequest) -> Access:
    """Return who asks; the door has let them in."""
    return request[ACCESS]


def request_id_of(request: BaseRequest) -> str:
    """Return the name of a request in answers, logs and the audit: its sender's, if it is sane."""
    if REQUEST_ID not in request:
        given = request.headers.get("X-Request-Id", "")
        request[REQUEST_ID] = given if SANE_ID.fullmatch(given) else uuid4().hex
    return request[REQUEST_ID]


class Door:
    """Lets in whoever has a token, by its SHA-256; where there are none, this machine."""

    def __init__(self, tokens: Mapping[bytes, Access]) -> None:
        self._tokens = tokens
        self._throttle = Throttle()

    def is_token(self, text: str) -> bool:
        """Return whether a text is a token, which then nobody else may read."""
        return self._find(text) is not None

    @middleware
    async def admit(self, request: Request, handler: Handler) -> StreamResponse:
        """Pass on what may have an answer.

        Raises:
            HTTPUnauthorized: it has no valid token.
            HTTPTooManyRequests: nor had others from the same address, too often. A valid token is
                let in even then: who shares an address with a guesser is not locked out by them.
            HTTPForbidden: not from there, not with this token, or not for another site's page.
        """
        if (request.method, _route(request)) not in OPEN:
            request[ACCESS] = access = self._access(request)
            if request.method not in SAFE and not access.full:
                raise HTTPForbidden(text="this token may only read")
        return await handler(request)

    def _access(self, request: Request) -> Access:
        if self._tokens:
            return self._bearer(request)
        check_local(request)
        if request.method not in SAFE:
            check_same_site(request)
        return LOCAL

    def _bearer(self, request: Request) -> Access:
        credentials = request.headers.getall("Authorization", [])
        scheme, _, token = (credentials or [""])[0].partition(" ")
        access = self._find(token)
        if access is None or scheme.lower() != "bearer" or len(credentials) > 1:
            self._refuse(request, is_guess=bool(credentials))
        return access

    def _find(self, token: str) -> Access | None:
        digest = sha256(token.encode("utf-8", "surrogateescape")).digest()
        found = None
        # To the end, so that the time that it takes tells nothing.
        for known, access in self._tokens.items():
            if hmac.compare_digest(digest, known):
                found = access
        return found

    def _refuse(self, request: Request, *, is_guess: bool) -> NoReturn:
        wait = self._throttle.failed(address_of(request)) if is_guess else 0
        if wait:
            raise HTTPTooManyRequests(
                text="too many wrong tokens came from there: wait",
                headers=BEARER | {"Retry-After": str(wait)},
            )
        raise HTTPUnauthorized(text="send a valid token as Authorization: Bearer …", headers=BEARER)


def _route(request: Request) -> str | None:
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical
