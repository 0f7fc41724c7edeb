"""The OpenAPI document: made from the views that are served, so that it cannot differ from them."""

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from faust import web
from faust.web.blueprints import FutureRoute

from app.web.api import JSON, Description, described
from app.web.examples import EXAMPLES
from app.web.schemas import Schemas
from app.web.shapes import BulkRequest, ErrorBody

OPENAPI = "3.1.0"
VERSION = "1"
ALWAYS = (400, 401, 403, 429, 500, 503)
"""Statuses that every guarded method answers with."""
NEEDED = (BulkRequest,)
"""Bodies that cannot be left out."""
WITH_BODY = (408, 413, 415)
ABOUT = """\
What the service has handled, what it could not, and what is done about it.

Lists are JSON arrays; a `Link: <…>; rel="next"` header leads to the next page, and none of it means
that there is nothing more. A page may be shorter than asked for and still have a next one.
Each answer has an `X-Request-Id`; errors repeat it."""


def document(routes: Sequence[FutureRoute]) -> dict[str, Any]:
    """Return the OpenAPI document of all routes of a blueprint."""
    schemas = Schemas()
    paths = {
        _path(route.uri): {
            method: _operation(route, method, description, schemas)
            for method, description in described(_view(route)).items()
        }
        for route in routes
    }
    return {
        "openapi": OPENAPI,
        "info": {"title": "Events and failures", "version": VERSION, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _path(uri: str) -> str:
    """Return a route's path without the patterns of what may stand in it."""
    return re.sub("{([a-z]+):[^}]*}", r"{\1}", uri)


def _view(route: FutureRoute) -> type[web.View]:
    view: type[web.View] = route.handler  # type: ignore[assignment]
    return view


def _operation(
    route: FutureRoute, method: str, description: Description, schemas: Schemas
) -> dict[str, Any]:
    docstring = getattr(_view(route), method).__doc__
    operation: dict[str, Any] = {
        "operationId": f"{method}_{route.name}",
        "summary": docstring.rstrip(".\n "),
        "parameters": [*_path_parameters(_path(route.uri)), *_query_parameters(description)],
        "responses": _responses(method, description, schemas),
    }
    if description.is_open:
        operation["security"] = []
    if description.body is not None:
        operation["requestBody"] = {
            "required": description.body in NEEDED,
            "content": {JSON: _content(description.body, schemas)},
        }
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schema = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
    return [
        {"name": name, "in": "path", "required": True, "schema": schema}
        for name in re.findall("{(.*?)}", path)
    ]


def _query_parameters(description: Description) -> list[dict[str, Any]]:
    return [
        {
            "name": parameter.name,
            "in": "query",
            "description": f"{parameter.expects[0].upper()}{parameter.expects[1:]}.",
            "schema": dict(parameter.schema),
        }
        for parameter in description.query
    ]


def _responses(method: str, description: Description, schemas: Schemas) -> dict[str, Any]:
    answers = {description.status: description.answer} | dict(description.others)
    responses = {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {description.media: _content(answer, schemas)},
        }
        for status, answer in answers.items()
    }
    links = {
        name: {"operationId": name, "parameters": {"id": f"$response.body#/{where}"}}
        for name, where in description.links.items()
    }
    if links:
        responses[str(description.status)]["links"] = links
    always = () if description.is_open else ALWAYS
    with_body = WITH_BODY if method == "post" else ()
    for status in (*description.errors, *always, *with_body):
        responses.setdefault(
            str(status),
            {
                "description": HTTPStatus(status).phrase,
                "content": {JSON: {"schema": schemas.of(ErrorBody)}},
            },
        )
    return dict(sorted(responses.items()))


def _content(kind: Any, schemas: Schemas) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schemas.of(kind)}
    example = EXAMPLES.get(kind)
    return content if example is None else content | {"example": example}
