"""Fixtures for every test: one real server of each kind a session, fresh databases on them."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

import pytest

from tests.availability import missing
from tests.servers import Kafka, MariaDB, PostgreSQL, Server, ServerUnavailableError
from tests.servers.sql import DatabaseServer

_S = TypeVar("_S", bound=Server)
_shared: list[Server] = []


@pytest.fixture(scope="session")
def kafka() -> Iterator[Kafka]:
    """Run one Apache Kafka for the whole session."""
    yield from _share(Kafka)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """Run one PostgreSQL for the whole session."""
    yield from _share(PostgreSQL)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """Run one MariaDB for the whole session."""
    yield from _share(MariaDB)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Return the URL of a new SQLite database."""
    return f"sqlite:///{tmp_path / 'service.db'}"


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """Return the URL of a new PostgreSQL database."""
    yield from _fresh_database(postgresql)


@pytest.fixture
def mariadb_url(mariadb: MariaDB) -> Iterator[str]:
    """Return the URL of a new MariaDB database."""
    yield from _fresh_database(mariadb)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a new database, of each kind in turn."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(autouse=True)
def _shared_servers_come_back() -> Iterator[None]:
    """Start again what a test left stopped, so that no other test fails with it."""
    yield
    for server in _shared:
        server.start()


def _share(server_type: type[_S]) -> Iterator[_S]:
    server = server_type()
    with ExitStack() as stack:
        try:
            stack.enter_context(server)
        except ServerUnavailableError as error:
            missing(str(error))
        _shared.append(server)
        yield server
        _shared.remove(server)


def _fresh_database(server: DatabaseServer) -> Iterator[str]:
    url = server.create_database()
    yield url
    server.start()
    server.drop_database(url)
