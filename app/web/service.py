"""Puts the web server, its views and what they ask together."""

from collections.abc import Mapping, Sequence

from faust.types import AppT

from app.checkpoint import Checkpoint, Health, Reader
from app.web.api import API, Api, blueprint
from app.web.bodies import Bodies
from app.web.masking import Mask
from app.web.security import Access
from app.web.server import WebServer


def serve(
    app: AppT,
    checkpoint: Checkpoint,
    *,
    tokens: Mapping[bytes, Access],
    masked_fields: Sequence[str] = (),
) -> WebServer:
    """Have the app's worker serve the API, to whoever has one of these tokens.

    Args:
        app: whose web server it becomes.
        checkpoint: it must be installed.
        tokens: what each lets its bearer do, by its SHA-256; none: only this machine is answered.
        masked_fields: names and dotted paths of what is not shown of payloads, nor logged where
            an error repeats it.
    """
    mask, reader = Mask(masked_fields), Reader(checkpoint.database_url)
    # Handlers repeat in errors what is masked, and the log repeats their errors.
    checkpoint.redact = mask.error
    server = app.web = WebServer(app, tokens=tokens, mask=mask)
    server.blueprints.add("", blueprint)
    server.web_app[API] = Api(
        reader=reader,
        replay=checkpoint.replay,
        operations=checkpoint.operations,
        bodies=Bodies(mask),
        checks=Health(checkpoint, app, reader).checks,
    )

    async def close(_: object) -> None:
        await reader.close()

    server.web_app.on_cleanup.append(close)
    return server
