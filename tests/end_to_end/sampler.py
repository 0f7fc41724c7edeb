"""Looks at committed offsets and tables again and again while a test does its worst."""

import threading
from types import TracebackType
from typing import Self

from sqlalchemy import and_, func, or_, select, union_all

from app.checkpoint.models import EventRow, FailureRow
from tests.end_to_end.invariants import check_commits
from tests.end_to_end.stage import Stage

INTERVAL = 0.2


class Sampler:
    """Checks, until its block ends, that no committed offset passes an event without an outcome."""

    def __init__(self, stage: Stage) -> None:
        self.samples = 0
        """How many looks have found committed offsets."""
        self._stage = stage
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="sampler")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        self.check()

    @property
    def found(self) -> bool:
        """Whether there is something that `check` raises."""
        return self._error is not None

    def check(self) -> None:
        """Raise what has been found so far."""
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._done.wait(INTERVAL):
                self._look()
        except BaseException as error:  # noqa: BLE001 - raised again where the block ends
            self._error = error

    def _look(self) -> None:
        # Offsets first: see `check_commits`.
        committed = self._stage.committed()
        if not committed:
            return
        produced = list(self._stage.ledger.entries)
        check_commits(produced, committed, self._settled_below(committed))
        self.samples += 1

    def _settled_below(self, committed: dict[tuple[str, int], int]) -> dict[tuple[str, int], int]:
        tables = [
            select(row.topic, row.partition, row.offset).where(
                or_(
                    *(
                        and_(row.topic == topic, row.partition == partition, row.offset < offset)
                        for (topic, partition), offset in committed.items()
                    )
                )
            )
            for row in (EventRow, FailureRow)
        ]
        below = union_all(*tables).subquery()
        topic, partition = below.c.topic, below.c.partition
        counts = select(topic, partition, func.count().label("n")).group_by(topic, partition)
        return {(row.topic, row.partition): row.n for row in self._stage.fetch(counts)}
