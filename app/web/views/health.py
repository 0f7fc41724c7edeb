"""The views for whoever restarts the service or sends it work; they answer everybody."""

from typing import Any

from aiohttp.web import Request, Response

from app.web.api import View, answer, api_of, blueprint, describe
from app.web.shapes import HealthBody, LiveBody


@blueprint.route("/ping", name="ping")
class Ping(View):
    """Whether the process answers, in one word."""

    @describe(str, media="text/plain", is_open=True)
    async def get(self, _: Request) -> Response:
        """Answer PONG."""
        return Response(text="PONG", content_type="text/plain")


@blueprint.route("/health/live", name="live")
class Live(View):
    """Whether the process is worth being kept."""

    @describe(LiveBody, is_open=True)
    async def get(self, _: Request) -> Response:
        """Answer ok: the event loop turns."""
        return answer({"status": "ok"})


@blueprint.route("/health/ready", name="ready")
class Ready(View):
    """Whether the service can do its work."""

    @describe(HealthBody, is_open=True, others={503: HealthBody})
    async def get(self, request: Request) -> Response:
        """Look at the database, its schema, the agents, the consumer and the lanes."""
        checks = await api_of(request).checks()
        is_ok = all(found == "ok" for found in checks.values())
        body: dict[str, Any] = {"status": "ok" if is_ok else "unavailable", "checks": checks}
        return answer(body, status=200 if is_ok else 503)
