"""Who may do what: everything needs access, but for what is open to all."""

import re
from dataclasses import dataclass
from uuid import uuid4

from aiohttp.web import BaseRequest, RequestKey

SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asks, and what they may do."""

    name: str
    full: bool
    """Whether they may change anything; if not, they read."""
    topics: frozenset[str] | None = None
    """The only topics that they may see; None: all."""


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
