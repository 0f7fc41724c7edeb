"""Whoever restarts the service or sends it work is answered, whoever they are."""

import pytest
from sqlalchemy import text

from app.web import Access
from tests.web.served import served


@pytest.mark.parametrize("path", ["/ping", "/health/live", "/health/ready"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_health_needs_no_token(sqlite_url: str, method: str, path: str) -> None:
    """Nor does a query that means nothing harm: some add one against caches."""
    tokens = {"f" * 32: Access(name="anna", full=True)}
    async with served(sqlite_url, tokens=tokens) as service:
        response = await service.client.request(method, path, params={"t": "1"})
        assert response.status == 200
        assert (await service.client.get("/v1/stats")).status == 401


async def test_what_is_not_ready_says_why(database_url: str) -> None:
    """The process lives all the same."""
    async with served(database_url) as service:
        async with service.desk.database.engine.begin() as connection:
            await connection.execute(text("DROP TABLE checkpoint_operation_items"))
        told = await service.told(await service.client.get("/health/ready"), 503)
        assert told["status"] == "unavailable"
        assert told["checks"]["database"] == "ok"
        assert "checkpoint_operation_items" in told["checks"]["schema"]
        assert await service.get("/health/live") == {"status": "ok"}
        assert database_url.partition("://")[2] not in str(told)


async def test_what_is_ready_says_so(database_url: str) -> None:
    """And what was looked at."""
    async with served(database_url) as service:
        told = await service.get("/health/ready")
        assert told == {"status": "ok", "checks": {"database": "ok", "schema": "ok"}}
