"""The stage of the end-to-end tests, for tests that let something go wrong on it."""

from tests.end_to_end.conftest import database, stage

__all__ = ["database", "stage"]
