"""Every read of the checkpoint's tables."""

from app.checkpoint.queries.probe import Known, known
from app.checkpoint.queries.reader import Reader

__all__ = ["Known", "Reader", "known"]
