"""The views of the whole: how many there are of what, and who did what."""

from aiohttp.web import Request, Response

from app.web import reports
from app.web.api import QUERY, View, answer, api_of, blueprint, describe, link_to_next
from app.web.params import AUDIT_LIST, LIMIT
from app.web.security import access_of
from app.web.shapes import AuditBody, StatsBody


@blueprint.route("/v1/stats", name="stats")
class Stats(View):
    """How many there are of what."""

    @describe(StatsBody)
    async def get(self, request: Request) -> Response:
        """Count events and failures, up to a limit each."""
        stats = await api_of(request).reader.stats(topics=access_of(request).topics)
        return answer(reports.stats(stats))


@blueprint.route("/v1/audit", name="audit")
class Audit(View):
    """Who did what."""

    @describe(list[AuditBody], query=AUDIT_LIST)
    async def get(self, request: Request) -> Response:
        """List what was done to events, failures and operations, newest first."""
        api, query, topics = api_of(request), request[QUERY], access_of(request).topics
        page = await api.reader.audit(
            limit=query.get("limit", LIMIT),
            before=query["cursor"].id if "cursor" in query else None,
            subject=query.get("subject"),
            subject_id=query.get("subject_id"),
            topics=topics,
        )
        body = [api.bodies.entry(entry) for entry in page.items]
        return answer(body, headers=link_to_next(request, page.next))
