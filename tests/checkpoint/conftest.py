"""What the engine's tests have in common: empty tables, on each kind of database in turn."""

from collections.abc import AsyncIterator

import pytest

from app.checkpoint.database import Database
from app.checkpoint.testing import database
from tests.checkpoint.writer import Writer


@pytest.fixture
async def tables(database_url: str) -> AsyncIterator[Database]:
    """Return a database with empty tables, of each kind in turn."""
    async with database(database_url) as opened:
        yield opened


@pytest.fixture
def writer(tables: Database) -> Writer:
    """Return what writes to each kind of database in turn."""
    return Writer(tables)
