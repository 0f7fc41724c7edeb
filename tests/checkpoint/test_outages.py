"""Database work is repeated until the database lets it, and an outage is told in few words."""

import asyncio
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.checkpoint import Backoff
from app.checkpoint.outages import Outages
from tests.polling import eventually_async

AT_ONCE = Backoff(min=0, max=0)
REFUSED = OperationalError("SELECT 1", {}, ConnectionRefusedError("refused\nby the server"))


class Work:
    """Database work that fails as it is told to, and then returns."""

    def __init__(self, *errors: BaseException) -> None:
        self.runs = 0
        self._errors = iter(errors)

    async def __call__(self) -> str:
        """Run once."""
        self.runs += 1
        await asyncio.sleep(0)
        for error in self._errors:
            raise error
        return "done"


class Broken:
    """Database work that fails until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.runs = 0

    async def __call__(self) -> None:
        """Run once."""
        self.runs += 1
        if not self.mended:
            raise REFUSED


def names(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the names of all log lines."""
    told = [entry.message.split()[0] for entry in caplog.records]
    return [name.removeprefix("checkpoint.database_") for name in told]


@pytest.fixture(autouse=True)
def _everything_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        SQLAlchemyError(),
        IntegrityError("INSERT", {}, ValueError()),
        PoolTimeoutError(),
        OSError(),
        ConnectionResetError(),
        TimeoutError(),
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
async def test_what_the_database_may_get_over_is_repeated(error: Exception) -> None:
    """Whatever the reason, what is not written may not be acknowledged."""
    work = Work(error, error, error)
    assert await Outages(AT_ONCE).ride_out(work) == "done"
    assert work.runs == 4


@pytest.mark.parametrize("error", [ValueError, RuntimeError, asyncio.CancelledError, GeneratorExit])
async def test_what_is_a_mistake_of_ours_is_not(error: type[BaseException]) -> None:
    """It would be repeated for ever."""
    work = Work(error())
    with pytest.raises(error):
        await Outages(AT_ONCE).ride_out(work)
    assert work.runs == 1


async def test_an_outage_is_known_while_it_lasts() -> None:
    """Readiness can ask for it."""
    outages, work = Outages(AT_ONCE), Broken()
    riding = asyncio.create_task(outages.ride_out(work))
    assert outages.since is None

    async def lasts() -> None:
        assert outages.since is not None
        assert work.runs > 1

    await eventually_async(lasts)
    began = outages.since
    await asyncio.sleep(0)
    assert outages.since == began
    work.mended = True
    await riding
    assert outages.since is None


async def test_an_outage_is_told_once_and_its_end_once(caplog: pytest.LogCaptureFixture) -> None:
    """However many lanes meet it, however often."""
    outages, work = Outages(AT_ONCE), Broken()
    riding = [asyncio.create_task(outages.ride_out(work)) for _ in range(20)]

    async def lasts() -> None:
        assert work.runs > 500

    await eventually_async(lasts)
    assert names(caplog) == ["unavailable"]
    work.mended = True
    await asyncio.gather(*riding)
    assert names(caplog) == ["unavailable", "available"]
    began, over = caplog.records
    assert (began.levelname, over.levelname) == ("WARNING", "INFO")
    assert began.__dict__["error"] == "ConnectionRefusedError: refused"
    assert over.__dict__["after_seconds"] >= 0


async def test_work_that_goes_well_does_not_end_anothers_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One lane's table may be locked while the others write: that is one outage, told once."""
    outages, work = Outages(AT_ONCE), Broken()
    riding = asyncio.create_task(outages.ride_out(work))
    for runs in range(5):

        async def fails_again(least: int = runs) -> None:
            assert work.runs > least

        await eventually_async(fails_again)
        await outages.ride_out(Work())
        assert outages.since is not None
    assert names(caplog) == ["unavailable"]
    work.mended = True
    await riding
    assert outages.since is None
    assert names(caplog) == ["unavailable", "available"]


async def test_many_short_outages_are_not_told_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    """A deadlock now and then is no news."""
    outages = Outages(AT_ONCE)
    for _ in range(1000):
        await outages.ride_out(Work(REFUSED))
    assert names(caplog)[:2] == ["unavailable", "available"]
    # One a second, however slow this machine is.
    assert len(caplog.records) < 100


async def test_a_wait_that_is_cancelled_says_nothing_about_the_database(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The outage goes on until somebody has seen the database work."""
    outages = Outages(Backoff(min=3600, max=3600))
    riding = asyncio.create_task(outages.ride_out(Broken()))

    async def waits() -> None:
        assert outages.since is not None

    await eventually_async(waits)
    riding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await riding
    assert outages.since is not None
    assert names(caplog) == ["unavailable"]
    await outages.ride_out(Work())
    assert outages.since is None
    assert names(caplog) == ["unavailable", "available"]


@given(failures=st.lists(st.integers(0, 5), min_size=1, max_size=6))
@settings(deadline=None, max_examples=50)
async def test_when_all_work_is_done_there_is_no_outage(failures: list[int]) -> None:
    """Whatever failed how often in between; and nothing is run once more than it must."""
    outages = Outages(AT_ONCE)
    works = [Work(*[REFUSED] * count) for count in failures]
    assert set(await asyncio.gather(*map(outages.ride_out, works))) == {"done"}
    assert [work.runs for work in works] == [count + 1 for count in failures]
    assert outages.since is None
