"""PostgreSQL's COPY: new event rows at half the cost of an INSERT that looks out for old ones."""

from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from app.checkpoint.attempts import Handler
from app.checkpoint.models import EVENTS
from app.checkpoint.store.outcomes import EVENT_COLUMNS, Outcomes, event_values


async def copy_events(engine: AsyncEngine, handler: Handler, outcomes: Outcomes) -> bool:
    """Write a batch of which all that is to be written are new event rows, in one transaction.

    Returns:
        Whether that was done; if not, `record` does it, or says why it cannot be done. It finds
        nothing written, or all of it where only the reply was lost: both are the same to it.
    """
    if engine.dialect.name != "postgresql" or outcomes.failed or outcomes.resolved:
        return False
    records = event_values(handler, outcomes)
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        try:
            await driver.copy_records_to_table(EVENTS.name, columns=EVENT_COLUMNS, records=records)
        except Exception:  # noqa: BLE001 - SQLAlchemy, which names errors, has not seen this one
            if driver.is_closed():
                await connection.invalidate()
            return False
        except BaseException:
            # Cancelled: what the server has yet to say may never come, and closing waits for it.
            await connection.invalidate()
            raise
    return True
