"""The views: thin, with every decision made elsewhere."""

from faust import web

blueprint = web.Blueprint("service")


@blueprint.route("/ping", name="ping")
class Ping(web.View):
    """Tells a load balancer or a container's health check that the process answers."""

    async def get(self, request: web.Request) -> web.Response:  # noqa: ARG002 - the name is Faust's
        """Answer PONG, whoever asks."""
        return self.text("PONG", content_type="text/plain")
