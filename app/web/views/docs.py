"""The views that describe all others, for programs and for people."""

from functools import cache
from typing import Any

from aiohttp.web import Request, Response

from app.web import page
from app.web.api import View, answer, blueprint, describe
from app.web.openapi import document


@blueprint.route("/v1/openapi.json", name="openapi")
class OpenAPI(View):
    """The document for programs."""

    @describe(dict[str, Any])
    async def get(self, _: Request) -> Response:
        """Describe all requests and answers, as OpenAPI 3.1."""
        return answer(_document())


@blueprint.route("/v1/docs", name="docs")
class Docs(View):
    """The document for people."""

    @describe(str, media="text/html")
    async def get(self, _: Request) -> Response:
        """Describe all requests and answers, as a page."""
        headers = {"Content-Security-Policy": page.POLICY}
        return Response(text=page.render(_document()), content_type="text/html", headers=headers)


@cache
def _document() -> dict[str, Any]:
    return document(blueprint.routes)
