"""What the service answers over HTTP, on Faust's own web server."""

from app.web import views
from app.web.api import Api, blueprint, install
from app.web.bodies import Bodies
from app.web.masking import Mask
from app.web.security import Access
from app.web.server import WebServer

__all__ = ["Access", "Api", "Bodies", "Mask", "WebServer", "blueprint", "install", "views"]
