"""Whose turn it is: which events of a partition may be handled side by side, and which must wait.

An event waits for the one of its key before it until that has its answer, and for the one of its
identity before it until what became of that is in the database. It waits for nothing else.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from math import inf
from typing import TypeAlias

from app.checkpoint.events import Event
from app.checkpoint.queries import Known

FRESH_SECONDS = 1.0
"""So old may be what is known of an event when its handler begins."""

Key: TypeAlias = bytes | int


class Turn:
    """An event that was taken up, and who waits for it."""

    __slots__ = ("behind", "event", "key", "known", "known_at", "twin", "waits_for")

    known: Known
    """What the database knew of it."""

    def __init__(self, event: Event) -> None:
        self.event = event
        # Without a key there is no order to keep: it is alone with its offset.
        self.key: Key = event.record.offset if event.record.key is None else event.record.key
        self.known_at = -inf
        """Monotonic time at which the database answered."""
        self.waits_for = 0
        """How many events must come first: one of its key, one of its identity."""
        self.behind: Turn | None = None
        """The next one of its key."""
        self.twin: Turn | None = None
        """The next one of its identity."""


class Turns:
    """The events of one lane that were taken up and are not settled."""

    def __init__(self) -> None:
        self.ready: deque[Turn] = deque()
        """Those that may begin, in the order in which they may."""
        self.unknown: deque[Turn] = deque()
        """Those that may begin as soon as it is known what the database has of them."""
        self.in_hand: dict[Turn, float] = {}
        """Those that have begun and are not settled, with the monotonic time; the oldest first."""
        self._later: list[tuple[float, int, Turn]] = []
        self._last_of_key: dict[Key, Turn] = {}
        self._last_twin: dict[bytes, Turn] = {}

    def add(self, event: Event) -> None:
        """Take up an event, behind all that were taken up before."""
        turn = Turn(event)
        before = self._last_of_key.get(turn.key)
        if before is not None:
            before.behind = turn
            turn.waits_for += 1
        self._last_of_key[turn.key] = turn
        twin = self._last_twin.get(event.identity)
        if twin is not None:
            twin.twin = turn
            turn.waits_for += 1
        self._last_twin[event.identity] = turn
        if not turn.waits_for:
            self.unknown.append(turn)

    def take_unknown(self, most: int) -> list[Turn]:
        """Return up to so many events of which the database is to be asked.

        Those behind them that wait for nothing but their key are asked for with them: else a key
        would cost a question an event.
        """
        taken: list[Turn] = []
        while self.unknown and len(taken) < most:
            turn: Turn | None = self.unknown.popleft()
            while turn is not None and len(taken) < most:
                # Of a twin, too much may have changed by the time of the answer.
                if turn.waits_for <= 1:
                    taken.append(turn)
                turn = turn.behind
        return taken

    def know(self, taken: Iterable[Turn], known: Known, now: float) -> None:
        """Note what the database has answered."""
        for turn in taken:
            turn.known, turn.known_at = known, now
            if not turn.waits_for:
                self.ready.append(turn)

    def begin(self, now: float) -> Turn | None:
        """Return an event that begins now, None when there is none that may."""
        while self.ready:
            turn = self.ready.popleft()
            if now - turn.known_at <= FRESH_SECONDS:
                self.in_hand[turn] = now
                return turn
            self.unknown.append(turn)
        return None

    def retry(self, turn: Turn, at: float) -> None:
        """Have an event that has begun begin again at a monotonic time; its key waits for it."""
        del self.in_hand[turn]
        heapq.heappush(self._later, (at, turn.event.record.offset, turn))

    def recall(self, now: float) -> float:
        """Take up again what was to be retried by now; return the time of what is next."""
        while self._later and self._later[0][0] <= now:
            self.unknown.append(heapq.heappop(self._later)[2])
        return self._later[0][0] if self._later else inf

    def answered(self, turn: Turn) -> None:
        """Let the next event of its key begin."""
        if turn.behind is None:
            del self._last_of_key[turn.key]
        else:
            self._release(turn.behind)

    def settled(self, turn: Turn) -> None:
        """Let the next event of its identity begin, and forget this one."""
        del self.in_hand[turn]
        if turn.twin is None:
            del self._last_twin[turn.event.identity]
        else:
            self._release(turn.twin)

    def _release(self, turn: Turn) -> None:
        turn.waits_for -= 1
        if not turn.waits_for:
            (self.unknown if turn.known_at == -inf else self.ready).append(turn)
