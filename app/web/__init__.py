"""What the service answers over HTTP, on Faust's own web server."""

from app.web import views
from app.web.security import Access
from app.web.service import serve

__all__ = ["Access", "serve", "views"]
