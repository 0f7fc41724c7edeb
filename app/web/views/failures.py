"""The views of failures: what there is, and what is done about one of them."""

from aiohttp.web import Request, Response

from app.checkpoint import FailureRecord
from app.web import reports
from app.web.api import (
    QUERY,
    View,
    actor_of,
    answer,
    api_of,
    blueprint,
    describe,
    link_to_next,
    listing_of,
)
from app.web.commands import read_retry
from app.web.pages import dump_page
from app.web.params import (
    FAILURE_FILTERS,
    FAILURE_LIST,
    GROUP_LIST,
    REASON,
    read_filter,
    read_id,
)
from app.web.security import access_of
from app.web.shapes import (
    DiscardedBody,
    DryRunBody,
    FailureBody,
    GroupBody,
    RetriedBody,
    RetryRequest,
    TotalBody,
)

ONE = "/v1/failures/{id:(?!(?:count|groups|retry|discard)(?:/|$))[^/]+}"
"""Where one failure is: at whatever is no route of its own."""


@blueprint.route("/v1/failures", name="failures")
class Failures(View):
    """Events whose attempts were used up."""

    @describe(list[FailureBody], query=FAILURE_LIST, links={"get_failure": "0/id"})
    async def get(self, request: Request) -> Response:
        """List failures, the latest event first; those without a time come last."""
        api, listing = api_of(request), listing_of(request)
        page = await api.reader.failures(
            listing.where, limit=listing.limit, offset=listing.offset, after=listing.after
        )
        body = dump_page(map(api.bodies.failure, page.items))
        return answer(body, headers=link_to_next(request, page.next))


@blueprint.route("/v1/failures/count", name="failures_count")
class FailuresCount(View):
    """How many failures there are."""

    @describe(TotalBody, query=FAILURE_FILTERS)
    async def get(self, request: Request) -> Response:
        """Count failures, up to a limit."""
        where = read_filter(request[QUERY], topics=access_of(request).topics)
        return answer(reports.total(await api_of(request).reader.count_failures(where)))


@blueprint.route("/v1/failures/groups", name="failures_groups")
class FailuresGroups(View):
    """Failures that one fix mends."""

    @describe(list[GroupBody], query=GROUP_LIST)
    async def get(self, request: Request) -> Response:
        """List groups of unresolved failures, the one that failed last first."""
        api, listing = api_of(request), listing_of(request)
        groups = await api.reader.groups(
            limit=listing.limit, offset=listing.offset, topics=listing.where.topics
        )
        body = dump_page(map(api.bodies.group, groups))
        following = listing.offset + listing.limit if len(groups) == listing.limit else None
        return answer(body, headers=link_to_next(request, following))


@blueprint.route(ONE, name="failure")
class Failure(View):
    """One failure."""

    @describe(FailureBody, errors=(404,), links={"post_failure_retry": "id"})
    async def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Show a failure, with the event that it has become if a retry succeeded."""
        failure = await _failure(request, id)
        return answer(api_of(request).bodies.failure(failure, single=True))

    @describe(DiscardedBody, query=(REASON,), errors=(404, 409))
    async def delete(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Discard a failure: it is kept, and can no longer be retried."""
        failure_id, reason = read_id(id, "failure"), request[QUERY].get("reason")
        await api_of(request).replay.discard(failure_id, by=actor_of(request), reason=reason)
        return answer(reports.discarded())


@blueprint.route(f"{ONE}/retry", name="failure_retry")
class FailureRetry(View):
    """One failed event again."""

    @describe(RetriedBody | DryRunBody, body=RetryRequest, errors=(404, 409, 422))
    async def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Run the handler again for a failed event, with another value if one is given."""
        api, by, failure_id = api_of(request), actor_of(request), read_id(id, "failure")
        asked = read_retry(await request.read())
        if asked.dry_run:
            replayed = await api.replay.dry_run(failure_id, by=by, payload=asked.payload)
            failure = await _failure(request, id)
            return answer(api.bodies.dry_run(replayed, asked.payload, failure))
        replayed = await api.replay.retry(failure_id, by=by, payload=asked.payload)
        return answer(reports.retried(replayed))


async def _failure(request: Request, text: str) -> FailureRecord:
    topics = access_of(request).topics
    return await api_of(request).reader.failure(read_id(text, "failure"), topics=topics)
