"""Every read of the checkpoint's tables."""

from app.checkpoint.queries.probe import Known, known

__all__ = ["Known", "known"]
