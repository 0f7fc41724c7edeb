"""What the kernel is told about connections to a database server."""

import socket

import pytest

from app.checkpoint.database import Database
from app.checkpoint.keepalive import OPTIONS


@pytest.mark.parametrize("server", ["postgresql", "mariadb"])
async def test_a_host_that_vanishes_is_given_up(
    server: str, request: pytest.FixtureRequest
) -> None:
    """Each connection asks for signs of life, also one that only waits for an answer."""
    database = Database(request.getfixturevalue(f"{server}_url"))
    async with database.engine.connect() as connection:
        driver = (await connection.get_raw_connection()).driver_connection
        assert driver is not None
        link = driver._transport.get_extra_info("socket")  # noqa: SLF001 - no driver shows it
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        known = {name: value for name, value in OPTIONS.items() if hasattr(socket, name)}
        assert known
        for name, value in known.items():
            assert link.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value, name
    await database.close()
