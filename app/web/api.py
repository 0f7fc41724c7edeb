"""What all views have in common: where the engine is found, and what the document says of them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import orjson
from aiohttp.web import AppKey, Request, RequestKey, Response
from faust import web

from app.checkpoint import Actor, Cursor, Operations, Reader, Replay
from app.web.bodies import Bodies
from app.web.params import (
    Listing,
    Parameter,
    cursor_text,
    read_listing,
    read_query,
)
from app.web.security import access_of, request_id_of

M = TypeVar("M", bound=Callable[..., Awaitable[Response]])

JSON = "application/json"

blueprint = web.Blueprint("service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """What the views ask."""

    reader: Reader
    replay: Replay
    operations: Operations
    bodies: Bodies
    checks: Callable[[], Awaitable[dict[str, str]]]
    """What is looked at before the service calls itself ready: `ok`, or what is wrong."""


API = AppKey("api", Api)
QUERY = RequestKey("query", Mapping[str, Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What the OpenAPI document says of one method of a view, beside its docstring."""

    answer: Any
    """The type of the body."""
    status: int = 200
    media: str = JSON
    query: Sequence[Parameter] = ()
    body: type | None = None
    others: Mapping[int, Any] = field(default_factory=dict)
    """The type of the body by status, where it answers otherwise and well."""
    errors: Sequence[int] = ()
    """Statuses that it answers with, beside those that all do."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Which operations its answer leads to, and where in it their id is found."""
    is_open: bool = False
    """Whether it answers whoever asks, whatever they ask."""


def describe(answer: Any, **fields: Any) -> Callable[[M], M]:
    """Have a method of a view served, and described by the OpenAPI document."""

    def decorate(method: M) -> M:
        method.__dict__["description"] = Description(answer=answer, **fields)
        return method

    return decorate


def described(view: type[web.View]) -> dict[str, Description]:
    """Return what is said of each method that a view serves, by its name in lower case."""
    found = {
        name: getattr(getattr(view, name), "description", None)
        for name in ("get", "post", "delete")
    }
    return {name: description for name, description in found.items() if description}


class View(web.View):
    """Serves the methods that are described, and reads the query that their description tells."""

    def get_methods(self) -> set[str]:
        """Return what is served: HEAD only where there is a GET."""
        methods = {name.upper() for name in described(type(self))}
        return methods | {"HEAD"} if "GET" in methods else methods

    async def dispatch(self, request: Request) -> Any:
        """Refuse what the method has no use for, and answer."""
        descriptions = described(type(self))
        description = descriptions["get" if request.method == "HEAD" else request.method.lower()]
        if not description.is_open:
            request[QUERY] = read_query(request.query, description.query)
        return await super().dispatch(request)


def api_of(request: Request) -> Api:
    """Return what the views ask."""
    return request.app[API]


def actor_of(request: Request) -> Actor:
    """Return who asks, and what they may see."""
    access = access_of(request)
    return Actor(name=access.name, request_id=request_id_of(request), topics=access.topics)


def listing_of(request: Request) -> Listing:
    """Return which page of what they may see is asked for."""
    return read_listing(request[QUERY], topics=access_of(request).topics)


def answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a JSON value; bytes are one already."""
    dumped = body if isinstance(body, bytes) else orjson.dumps(body)
    return Response(body=dumped, status=status, content_type=JSON, headers=headers)


def link_to_next(request: Request, following: Cursor | int | None) -> dict[str, str]:
    """Return the header that leads to the next page, none when there is nothing more.

    A list that has no cursor goes on at an offset.
    """
    if following is None:
        return {}
    url = request.rel_url
    if isinstance(following, int):
        url = url.update_query(offset=following)
    else:
        url = url.without_query_params("offset").update_query(cursor=cursor_text(following))
    return {"Link": f'<{url}>; rel="next"'}
