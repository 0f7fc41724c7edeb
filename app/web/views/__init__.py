"""The views: thin, with every decision made elsewhere. To import them is to fill the blueprint."""

from app.web.views import docs, events, failures, health, operations, overview

__all__ = ["docs", "events", "failures", "health", "operations", "overview"]
