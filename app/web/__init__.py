"""What the service answers over HTTP, on Faust's own web server."""

from app.web.api import blueprint
from app.web.masking import Mask
from app.web.security import Access
from app.web.server import WebServer

__all__ = ["Access", "Mask", "WebServer", "blueprint"]
