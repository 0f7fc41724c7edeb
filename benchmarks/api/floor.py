"""The floor under every server of its kind: aiohttp answers with a constant of the size asked for.

`python -m benchmarks.api.floor PORT`; `GET /308` is answered with 308 bytes.
"""

import sys
from functools import cache

import uvloop
from aiohttp.web import Application, Request, Response, run_app


async def answer(request: Request) -> Response:
    """Answer, with no more in the way than must be."""
    body = _constant(int(request.match_info["size"]))
    return Response(body=body, content_type="application/json")


@cache
def _constant(size: int) -> bytes:
    return b"x" * size


def main() -> None:
    """Serve on the event loop that the service runs on."""
    application = Application()
    application.router.add_get("/{size}", answer)
    run_app(
        application,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        loop=uvloop.new_event_loop(),
        print=None,
    )


if __name__ == "__main__":
    main()
