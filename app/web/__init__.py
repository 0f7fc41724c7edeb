"""What the service answers over HTTP, on Faust's own web server."""

from app.web.api import blueprint

__all__ = ["blueprint"]
