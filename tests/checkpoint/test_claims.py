"""A claim holds while its owner lives, and no longer."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import OperationalError

from app.checkpoint.claims import LEASE_SECONDS, is_fresh, kept_alive, new_claim
from tests.polling import eventually_async

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_no_two_claims_have_one_name() -> None:
    """Nor a name that the column cannot hold."""
    claims = {new_claim() for _ in range(100)}
    assert len(claims) == 100
    assert max(map(len, claims)) <= 255


@pytest.mark.parametrize(
    ("age", "fresh"),
    [(None, False), (0, True), (LEASE_SECONDS - 1, True), (LEASE_SECONDS, False), (-5, True)],
)
def test_a_claim_is_fresh_for_the_length_of_its_lease(age: float | None, *, fresh: bool) -> None:
    """Also one that another process has renewed since the time was asked for."""
    claimed_at = None if age is None else NOW - timedelta(seconds=age)
    assert is_fresh(claimed_at, NOW) is fresh


async def test_a_claim_is_renewed_until_the_block_ends() -> None:
    """Whatever the database says meanwhile: the next try may reach it."""
    renewed: list[int] = []

    async def renew() -> None:
        renewed.append(len(renewed))
        if len(renewed) % 2:
            raise OperationalError(None, None, OSError("away"))

    async def often() -> None:
        assert len(renewed) > 3

    async with kept_alive(renew, seconds=0.001):
        await eventually_async(often)
    ended = len(renewed)
    assert len(renewed) == ended
    assert "claim" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_renewal_that_answers_its_end_with_an_error_ends() -> None:
    """A driver that finds its connection broken says so, instead of being cancelled."""
    begun = asyncio.Event()

    async def renew() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            raise OperationalError(None, None, error) from error

    async with asyncio.timeout(5), kept_alive(renew, seconds=0):
        await begun.wait()


async def test_what_a_renewal_raises_of_its_own_ends_only_the_renewals() -> None:
    """The block goes on, and the lease runs out."""

    async def renew() -> None:
        raise LookupError

    async with kept_alive(renew, seconds=0):
        await eventually_async(_no_task)


async def _no_task() -> None:
    assert "claim" not in {task.get_name() for task in asyncio.all_tasks()}
