"""Engines with a planted bug, each of which the simulation must find."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from sqlalchemy.exc import SQLAlchemyError

from app.checkpoint import store
from app.checkpoint.events import Record
from app.checkpoint.lanes import Lane, Progress, settle_alone
from app.checkpoint.pipeline import Pipeline
from app.checkpoint.store import Outcomes
from tests.simulation.worker import Variant


def planted(kind: type[Pipeline]) -> Variant:
    """Return what puts a bug in the place of the engine's pipeline."""

    def variant(real: Pipeline) -> Pipeline:
        database, outages = real._database, real._outages  # noqa: SLF001 - a bug keeps to no rule
        return kind(real.handler, database=database, outages=outages, reports=real.reports)

    return variant


def tables(kind: type[Pipeline]) -> str:
    """Return SQL that takes from the tables what a bug goes without."""
    return "DROP INDEX ix_checkpoint_events_identity" if kind is ChecksThenActs else ""


class AcksBeforeCommit(Pipeline):
    """Events count as done while their outcomes are still on their way."""

    async def settle(self, lane: Lane, records: Sequence[Record]) -> Progress:
        """Settle events some time."""
        self._on_the_way = asyncio.ensure_future(super().settle(lane, records))
        return Progress(done=len(records))


class ChecksThenActs(Pipeline):
    """What the probe did not find is taken for new when it is written."""

    async def _write(self, outcomes: Outcomes) -> None:
        async with self._database.engine.begin() as connection:
            await store.record(connection, self.handler, outcomes, all_new=True)


class SkipsAcks(Pipeline):
    """What the database does not take the first time is passed over."""

    async def _record(self, outcomes: Outcomes) -> None:
        with suppress(SQLAlchemyError):
            await super()._record(outcomes)


class AcksOutOfOrder(Pipeline):
    """An event that is to be retried is passed, and settled beside the lane."""

    async def settle(self, lane: Lane, records: Sequence[Record]) -> Progress:
        """Settle what need not be retried."""
        progress = await super().settle(lane, records)
        if not progress.delay:
            return progress
        self._aside = asyncio.ensure_future(settle_alone(super().settle, records[progress.done]))
        return replace(progress, done=progress.done + 1, delay=0.0)


class FailsAfterAck(Pipeline):
    """Failures are written on their own, when the lane has gone on."""

    async def _record(self, outcomes: Outcomes) -> None:
        failed, outcomes.failed = outcomes.failed, []
        await super()._record(outcomes)
        if failed:
            self._later = asyncio.ensure_future(super()._record(Outcomes(failed=failed)))


class AcksWhatRaised(Pipeline):
    """An event whose handler raised is as good as one that was handled, as in stock Faust."""

    async def _record(self, outcomes: Outcomes) -> None:
        outcomes.failed.clear()
        await super()._record(outcomes)
