"""Every refusal and every error as the same JSON; of what nobody expected, only its id."""

from http import HTTPStatus
from typing import Any

import orjson
from aiohttp.web import (
    BaseRequest,
    HTTPException,
    HTTPRequestEntityTooLarge,
    HTTPRequestTimeout,
    Request,
    RequestKey,
    Response,
    StreamResponse,
    middleware,
)
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.checkpoint import (
    ConfigurationError,
    ConflictError,
    HandlerError,
    NotFoundError,
    ReplayError,
)
from app.web.masking import Mask
from app.web.params import BadRequestError
from app.web.security import Handler, request_id_of

FAULT = RequestKey("fault", BaseException)
"""What is ours or the database's to answer for, or is no HTTP; the log tells of it."""
KEPT = ("Allow", "Retry-After", "WWW-Authenticate")
MASKED = "the handler raised: its message is hidden here, as fields are masked; see the failure"
UNEXPECTED = {500: "internal error", 503: "the database does not answer: try again"}
STATUSES: dict[type[Exception], int] = {
    BadRequestError: 400,
    ConfigurationError: 400,
    NotFoundError: 404,
    ConflictError: 409,
    HandlerError: 422,
    ReplayError: 422,
    # About what was asked: to ask again would change nothing.
    DataError: 500,
    IntegrityError: 500,
    ProgrammingError: 500,
    DBAPIError: 503,
    PoolTimeoutError: 503,
}
"""What each error is answered with; the first that fits counts."""


class Errors:
    """Answers in the place of views that raise."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    @middleware
    async def answer(self, request: Request, handler: Handler) -> StreamResponse:
        """Return the view's answer, or what its error comes to."""
        try:
            return await handler(request)
        except HTTPException as error:
            return _refusal(request, error)
        except Exception as error:  # noqa: BLE001 - here is where all of them end
            status = _status(error)
            if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                request[FAULT] = error
                return error_response(request, status, UNEXPECTED[status])
            return error_response(request, status, self._message(error), **_fields(error))

    def _message(self, error: Exception) -> str:
        if self._mask and isinstance(error, HandlerError):
            # Nobody knows here what the payload was, so neither what of it is repeated.
            return MASKED
        return self._mask.text(str(error))


def error_response(request: BaseRequest, status: int, message: str, /, **fields: Any) -> Response:
    """Return an error as JSON, with the id by which the log calls the request."""
    body = {"error": True, "message": message, "request_id": request_id_of(request), **fields}
    return Response(status=status, body=orjson.dumps(body), content_type="application/json")


def _refusal(request: Request, error: HTTPException) -> StreamResponse:
    if error.status < HTTPStatus.BAD_REQUEST:
        raise error
    reason = HTTPStatus(error.status).phrase.lower()
    is_default = error.text == f"{error.status}: {error.reason}"
    response = error_response(request, error.status, reason if is_default else error.text or reason)
    response.headers.update({name: error.headers[name] for name in KEPT if name in error.headers})
    if isinstance(error, HTTPRequestTimeout | HTTPRequestEntityTooLarge):
        # What is left of the body is not waited for.
        response.force_close()
    return response


def _status(error: Exception) -> int:
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return status
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _fields(error: Exception) -> dict[str, Any]:
    match error:
        case ConflictError():
            return {"status": error.status}
        case HandlerError():
            return {"error_class": error.error_class}
    return {}
