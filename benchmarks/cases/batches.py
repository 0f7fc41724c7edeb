"""What the engine does, seen from outside: when it takes up a batch, and when it has settled it."""

from collections.abc import Callable, Sequence

from app.checkpoint.events import Record
from app.checkpoint.lanes import Lane, Progress
from app.checkpoint.pipeline import Pipeline


def watch_batches(
    *, taken_up: Callable[[], None], settled: Callable[[Sequence[Record]], None]
) -> None:
    """Have every batch told, with its events once their outcomes are in the database."""
    settle = Pipeline.settle

    async def watched(self: Pipeline, lane: Lane, records: Sequence[Record]) -> Progress:
        taken_up()
        progress = await settle(self, lane, records)
        settled(records[: progress.done])
        return progress

    Pipeline.settle = watched  # type: ignore[method-assign]
