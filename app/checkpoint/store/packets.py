"""How much MariaDB and MySQL take in one statement: `max_allowed_packet`.

They cut the connection of whoever sends more, as in an outage that would never end.
"""

from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

SMALL = 500_000
"""Bytes of a row that are not worth a look: every server takes a statement of twice as many."""
UTF8_BYTES = 4
"""Most bytes of a character."""
MARGIN = 10_000
"""Bytes of a statement that are no row's values."""
QUOTED = b"\0\n\r\x1a\"'\\"
"""What the driver puts a backslash before."""


class TooLargeError(SQLAlchemyError):
    """A row that the server would cut the connection for; the message says what to do."""


async def check_size(connection: AsyncConnection, row: dict[str, Any]) -> None:
    """Check that the server takes a row.

    Raises:
        TooLargeError: it does not.
    """
    values = [value for value in row.values() if isinstance(value, str | bytes)]
    # Not encoded for this: almost every row ends here.
    if UTF8_BYTES * sum(map(len, values)) < SMALL:
        return
    encoded = [value.encode() if isinstance(value, str) else value for value in values]
    if sum(map(len, encoded)) < SMALL:
        return
    limit = await connection.scalar(text("SELECT @@max_allowed_packet"))
    size = sum(map(_sent, encoded)) + MARGIN
    if size > limit:
        msg = f"a row of {size} bytes, and the server takes {limit}: raise max_allowed_packet"
        raise TooLargeError(msg)


def _sent(value: bytes) -> int:
    return len(value) + sum(value.count(byte) for byte in QUOTED)
