"""The service: `app` is made on first use, so importing `app.checkpoint` starts nothing."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.main import app as app

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    if name == "app":
        from app.main import app

        return app
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
