"""A stage for each test, on PostgreSQL unless a test asks for another database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.stage import Stage
from tests.servers import Kafka


@pytest.fixture
def database() -> str:
    """Return the kind of database; parametrise a test with `database` for another one."""
    return "postgresql"


@pytest.fixture
def stage(
    request: pytest.FixtureRequest, kafka: Kafka, database: str, tmp_path: Path
) -> Iterator[Stage]:
    """Return a new stage, and end what is left of its workers."""
    url: str = request.getfixturevalue(f"{database}_url")
    stage = Stage(kafka, url, tmp_path)
    yield stage
    stage.close()
