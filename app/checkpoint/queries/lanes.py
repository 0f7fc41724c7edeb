"""What an owner of a lane left behind when it died."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import LANES


@dataclass(frozen=True, slots=True, kw_only=True)
class InHand:
    """The events that were in hand when a process ended."""

    first: int
    """The lowest of their offsets."""
    last: int
    """The highest one."""
    starts: int
    """How often a process has ended with just these in hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftBehind:
    """A lane that its owner has not given up."""

    in_hand: InHand | None
    """None: no one knows."""


async def left_behind(connection: AsyncConnection, lane: bytes) -> LeftBehind | None:
    """Return what the last owner of a lane left behind, None when it gave it up in order."""
    columns = LANES.c.first_offset, LANES.c.last_offset, LANES.c.starts
    row = (await connection.execute(select(*columns).where(LANES.c.lane == lane))).one_or_none()
    if row is None:
        return None
    if row.first_offset is None:
        return LeftBehind(in_hand=None)
    in_hand = InHand(first=row.first_offset, last=row.last_offset, starts=row.starts)
    return LeftBehind(in_hand=in_hand)
