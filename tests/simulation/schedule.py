"""What happens to each request that a process makes of another machine, byte for byte."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Strike: TypeAlias = Literal["dies", "freezes", "freezes for long"]
Trouble: TypeAlias = Literal["locked", "lost", "reply lost", "outage"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """How one request goes; without anything else, at once and well."""

    before: float = 0.001
    """Seconds until it is carried out."""
    after: float = 0.0
    """Seconds until its reply is there."""
    trouble: Trouble | None = None
    strike: Strike | None = None
    """What becomes of the process that made it."""
    carried_out: bool = True
    """Whether the strike comes after it was carried out."""


Turn: TypeAlias = Strike | Literal["nothing", "stops", "rebalance", "seek", "rewind"]
"""What happens to one of the processes without its doing."""

SECONDS: dict[Strike, float] = {"freezes": 3.0, "freezes for long": 12.0}
"""How long a process stands still: less, and more, than the group waits for it."""

SHARES: tuple[tuple[int, Fate], ...] = (
    (160, Fate()),
    (12, Fate(before=0.05)),
    (12, Fate(after=0.05)),
    (8, Fate(before=1.0)),
    (8, Fate(after=1.0)),
    (4, Fate(before=4.0)),
    (4, Fate(after=4.0)),
    (8, Fate(trouble="locked")),
    (8, Fate(trouble="lost")),
    (10, Fate(trouble="reply lost")),
    (2, Fate(trouble="outage")),
    (4, Fate(strike="dies", carried_out=False)),
    (5, Fate(strike="dies")),
    (2, Fate(strike="freezes", carried_out=False)),
    (2, Fate(strike="freezes")),
    (3, Fate(strike="freezes for long", carried_out=False)),
    (4, Fate(strike="freezes for long")),
)
FATES = tuple(fate for share, fate in SHARES for _ in range(share))
TURNS: dict[Turn, int] = {
    "nothing": 200,
    "dies": 8,
    "freezes": 4,
    "freezes for long": 8,
    "stops": 8,
    "rebalance": 12,
    "seek": 8,
    "rewind": 8,
}
EACH_TURN = tuple(turn for turn, share in TURNS.items() for _ in range(share))


class Schedule:
    """Bytes, used up one by one; from then on nothing goes wrong any more."""

    def __init__(self, choices: bytes) -> None:
        self._choices = iter(choices)
        self.is_over = False

    def fate(self) -> Fate:
        """Return how the next request goes."""
        return FATES[self._next()]

    def turn(self) -> Turn:
        """Return what happens to the world next."""
        return EACH_TURN[self._next()]

    def pick(self, number: int) -> int:
        """Return one of so many."""
        return self._next() % number

    def _next(self) -> int:
        choice = next(self._choices, None)
        self.is_over = choice is None
        return choice or 0
