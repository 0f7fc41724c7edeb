"""A reader on each kind of database in turn."""

from collections.abc import AsyncIterator

import pytest

from app.checkpoint import Reader
from app.checkpoint.database import Database
from tests.checkpoint.queries.rows import reading


@pytest.fixture
async def reader(tables: Database) -> AsyncIterator[Reader]:
    """Return what reads the tables of each kind of database in turn."""
    async with reading(tables.url.render_as_string(hide_password=False)) as opened:
        yield opened
