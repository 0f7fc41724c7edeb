"""The views of what is done about many failures."""

from typing import Any

from aiohttp.web import Request, Response

from app.checkpoint import Action
from app.web import reports
from app.web.api import QUERY, View, actor_of, answer, api_of, blueprint, describe
from app.web.commands import read_bulk, read_nothing
from app.web.params import LIMIT, PAGE_LIMIT, read_id
from app.web.shapes import BulkRequest, OperationBody, PreviewBody

STARTED: dict[str, Any] = {"status": 202, "others": {200: PreviewBody}, "body": BulkRequest}
LINKS = {"get_operation": "id", "post_operation_cancel": "id"}


@blueprint.route("/v1/failures/retry", name="failures_retry")
class FailuresRetry(View):
    """Many failed events again."""

    @describe(OperationBody, **STARTED, links=LINKS)
    async def post(self, request: Request) -> Response:
        """Start to retry many failures; as a dry run, only tell how many and show some."""
        return await _start(request, "retry")


@blueprint.route("/v1/failures/discard", name="failures_discard")
class FailuresDiscard(View):
    """Many failures that need no retry."""

    @describe(OperationBody, **STARTED, links=LINKS)
    async def post(self, request: Request) -> Response:
        """Start to discard many failures; as a dry run, only tell how many and show some."""
        return await _start(request, "discard")


@blueprint.route("/v1/operations", name="operations")
class Operations(View):
    """What was started."""

    @describe(list[OperationBody], query=(PAGE_LIMIT,), links={"get_operation": "0/id"})
    async def get(self, request: Request) -> Response:
        """List bulk operations, newest first."""
        limit = request[QUERY].get("limit", LIMIT)
        latest = await api_of(request).operations.latest(actor_of(request), limit=limit)
        return answer([reports.operation(operation) for operation in latest])


@blueprint.route("/v1/operations/{id}", name="operation")
class Operation(View):
    """One bulk operation."""

    @describe(OperationBody, errors=(404,), links={"post_operation_cancel": "id"})
    async def get(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Show a bulk operation and how far it is."""
        operation_id = read_id(id, "operation")
        operation = await api_of(request).operations.get(operation_id, actor_of(request))
        return answer(reports.operation(operation))


@blueprint.route("/v1/operations/{id}/cancel", name="operation_cancel")
class OperationCancel(View):
    """The end of a bulk operation before its time."""

    @describe(OperationBody, errors=(404, 409))
    async def post(self, request: Request, id: str) -> Response:  # noqa: A002 - the path's name
        """Cancel a bulk operation: the failure in hand is finished, the others stay."""
        operation_id = read_id(id, "operation")
        read_nothing(await request.read())
        operation = await api_of(request).operations.cancel(operation_id, actor_of(request))
        return answer(reports.operation(operation))


async def _start(request: Request, action: Action) -> Response:
    api, by = api_of(request), actor_of(request)
    asked = read_bulk(await request.read(), action, topics=by.topics)
    if asked.dry_run:
        count, sample = await api.operations.preview(asked.plan, by)
        return answer(api.bodies.preview(count, sample))
    operation = await api.operations.start(asked.plan, by)
    location = f"/v1/operations/{operation.id}"
    return answer(reports.operation(operation), status=202, headers={"Location": location})
