"""The service's own app with all of its routes on a free port, until standard input is closed."""

import asyncio
import json
import sys

from aiohttp.test_utils import unused_port

from app import app
from app.web.server import WebServer


async def main() -> None:
    """Serve, and print the port and the routes."""
    app.conf.web_port = unused_port()
    assert isinstance(app.web, WebServer)
    application = await app.web.wsgi()
    await app.web.start_server()
    table = [(route.method, route.resource.canonical) for route in application.router.routes()]
    print(json.dumps({"port": app.conf.web_port, "routes": table}), flush=True)  # noqa: T201 - asked for
    await asyncio.to_thread(sys.stdin.read)
    await app.web.stop_server()


if __name__ == "__main__":
    asyncio.run(main())
