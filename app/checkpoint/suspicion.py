"""Which event of a lane may have ended its last owner's process, and when that is ruled out."""

import time
from collections.abc import Sequence
from math import inf

from app.checkpoint.claims import MAX_STARTS
from app.checkpoint.events import Record
from app.checkpoint.lanes import BATCH_SIZE, Progress
from app.checkpoint.pipeline import BATCH_SECONDS
from app.checkpoint.queries.lanes import InHand

CAREFUL_SECONDS = 20.0
"""How long a lane is careful while nothing in it is new, and waits for others that are careful.

Far longer than from one commit of offsets to the next: what is skipped leaves no other trace.
"""


class Suspicion:
    """What a lane's last owner may have died of.

    Nobody writes down what is in hand before an owner has died. The next one puts its batches down,
    whole, up to where the batch in the dead one's hands must have ended; if it dies as well, its
    successor takes the events of the batch that was in hand one by one, each put down by itself.
    """

    def __init__(
        self,
        in_hand: InHand | None,
        *,
        in_batches: bool = True,
        careful_seconds: float = CAREFUL_SECONDS,
    ) -> None:
        self.in_hand = in_hand
        """What is to blame for all that is known, nothing of it settled yet; None: no one knows."""
        self.is_over = False
        self.careful_until = time.monotonic() + careful_seconds
        # That batch began no later than the first event that is new, and had at most so many
        # events and seconds of handlers; of seconds much more, as they are never the same again.
        # Where handlers worked side by side, it was no batch, and seconds say nothing.
        self._events_left = BATCH_SIZE
        self._seconds_left = 25 * BATCH_SECONDS if in_batches else inf
        self._is_new = False

    def take(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return those events from the head of the lane that are to be in hand together."""
        if self.in_hand is None or records[0].offset > self.in_hand.last:
            return records
        first = self.in_hand.first
        return [record for record in records if record.offset < first] or records[:1]

    def blame(self, taken: Sequence[Record]) -> InHand:
        """Return what is to blame if the process ends with these events in hand."""
        first, last, known = taken[0].offset, taken[-1].offset, self.in_hand
        again = known is not None and (known.first, known.last) == (first, last)
        return InHand(first=first, last=last, starts=known.starts + 1 if known and again else 1)

    def proven(self, record: Record) -> int:
        """Return how often this event alone has ended the process if that was too often, else 0."""
        known = self.in_hand
        alone = known is not None and known.first == known.last == record.offset
        return known.starts if known and alone and known.starts >= MAX_STARTS else 0

    def survived(
        self, taken: Sequence[Record], progress: Progress, seconds: float, *, is_waiting: bool
    ) -> None:
        """Learn from events that were in hand, some seconds long, and the process lives on.

        Args:
            taken: the events.
            progress: what became of them.
            seconds: how long they were in hand.
            is_waiting: whether an event behind those that are done was attempted, and waits.
        """
        if self.in_hand is None:
            self._look_further(progress, seconds)
            # What has taken its time and left no trace would be taken up together with others.
            self.is_over = self.is_over and not is_waiting
        elif progress.done:
            self._rule_out(taken[progress.done - 1].offset, self.in_hand)

    def _look_further(self, progress: Progress, seconds: float) -> None:
        self._is_new = self._is_new or bool(progress.outcomes.acked or progress.outcomes.failed)
        if self._is_new:
            self._events_left -= progress.done
            self._seconds_left -= seconds
        # From when these events were taken up: what takes long itself may have no trace yet.
        careful = self.careful_until - (time.monotonic() - seconds)
        self.is_over = min(self._events_left, self._seconds_left, careful) <= 0

    def _rule_out(self, offset: int, known: InHand) -> None:
        if offset >= known.last:
            self.in_hand, self.is_over = None, True
        elif offset >= known.first:
            self.in_hand = InHand(first=offset + 1, last=known.last, starts=0)
