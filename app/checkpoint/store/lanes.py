"""Who settles which lane, and what is in hand there where an owner has died before.

Only the owner changes a row: a worker that was taken for dead, and comes back, changes nothing.
"""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import delete, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.checkpoint.models import LANES, utcnow
from app.checkpoint.queries.lanes import InHand

NOTHING = {"first_offset": None, "last_offset": None, "starts": 0}


async def open_lane(connection: AsyncConnection, row: dict[str, Any]) -> None:
    """Write down who settles a lane.

    Raises:
        IntegrityError: somebody else was first.
    """
    await connection.execute(insert(LANES), row)


async def take_over(connection: AsyncConnection, lane: bytes, owner: bytes) -> None:
    """Write down the new owner of a lane; what was in the old one's hands stays there."""
    taken = update(LANES).where(LANES.c.lane == lane).values(owner=owner, since=utcnow())
    await connection.execute(taken)


async def hold(
    connection: AsyncConnection, lane: bytes, owner: bytes, in_hand: InHand | None
) -> None:
    """Write down what is to blame if the process ends now; None: no one knows."""
    values: dict[str, Any] = NOTHING
    if in_hand is not None:
        offsets = {"first_offset": in_hand.first, "last_offset": in_hand.last}
        values = {**offsets, "starts": in_hand.starts}
    ours = LANES.c.lane == lane, LANES.c.owner == owner
    await connection.execute(update(LANES).where(*ours).values(values))


async def give_up(connection: AsyncConnection, lanes: Iterable[bytes], owner: bytes) -> None:
    """Forget lanes whose events in hand have come to an end while the process lives on."""
    await connection.execute(delete(LANES).where(LANES.c.lane.in_(lanes), LANES.c.owner == owner))
