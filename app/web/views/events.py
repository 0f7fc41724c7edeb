"""The views of events."""

from aiohttp.web import Request, Response

from app.web import reports
from app.web.api import (
    View,
    actor_of,
    answer,
    api_of,
    blueprint,
    describe,
    link_to_next,
    listing_of,
)
from app.web.commands import read_nothing
from app.web.pages import dump_page
from app.web.params import EVENT_LIST, read_id
from app.web.security import access_of
from app.web.shapes import EventBody, RetriedBody


@blueprint.route("/v1/events", name="events")
class Events(View):
    """Events that were handled and acknowledged."""

    @describe(list[EventBody], query=EVENT_LIST, links={"get_event": "0/id"})
    async def get(self, request: Request) -> Response:
        """List events, the latest first; those without a time come last."""
        api, listing = api_of(request), listing_of(request)
        page = await api.reader.events(
            listing.where, limit=listing.limit, offset=listing.offset, after=listing.after
        )
        body = dump_page(map(api.bodies.event, page.items))
        return answer(body, headers=link_to_next(request, page.next))


@blueprint.route("/v1/events/{id}", name="event")
class Event(View):
    """One event."""

    @describe(EventBody, errors=(404,), links={"post_event_retry": "id"})
    async def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Show an event, with the failures that came before it succeeded."""
        api, topics = api_of(request), access_of(request).topics
        event = await api.reader.event(read_id(id, "event"), topics=topics)
        return answer(api.bodies.event(event, single=True))


@blueprint.route("/v1/events/{id}/retry", name="event_retry")
class EventRetry(View):
    """One event again."""

    @describe(RetriedBody, errors=(404, 422))
    async def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Run the handler again for an event that was handled; its row stays as it is."""
        event_id = read_id(id, "event")
        read_nothing(await request.read())
        replayed = await api_of(request).replay.rerun(event_id, by=actor_of(request))
        return answer(reports.retried(replayed))
