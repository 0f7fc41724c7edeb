"""What transactional handlers write goes to the database together, as long as no one can tell."""

from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

FLUSH_EACH_BATCHES = 50
"""So many batches are flushed event by event after one that could not be flushed together."""


class Writes:
    """The session of the handlers of one batch: what each of them has added is flushed with it."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    @property
    def is_broken(self) -> bool:
        """Whether one handler may have met with what another one has left in the session."""
        return False

    async def handled(self) -> None:
        """Send what a handler has left in the session, so that what is refused is its own doing."""
        await self.session.flush()


class DeferredWrites(Writes):
    """Rows that handlers add are sent together: a flush for each takes most of a handler's time.

    No handler sees less than it would otherwise: they are sent before whatever else it sends. If
    they cannot be, or if a handler takes one back, which may be another's, the batch is broken.
    """

    def __init__(self, session: AsyncSession, connection: AsyncConnection) -> None:
        super().__init__(session)
        self._session = session.sync_session
        self._is_flushing = self._is_taken_back = False
        event.listen(self._session, "before_flush", self._begin)
        event.listen(self._session, "after_flush", self._end)
        event.listen(self._session, "pending_to_transient", self._take_back)
        event.listen(connection.sync_connection, "before_cursor_execute", self._flush_first)

    async def handled(self) -> None:
        """Leave new objects in the session; what is changed or deleted could be taken back."""
        if self._session.dirty or self._session.deleted:
            await self.session.flush()

    @property
    def is_broken(self) -> bool:
        """Whether a flush has failed, or objects were taken back that waited for one."""
        return self._is_flushing or self._is_taken_back

    def _begin(self, *_: Any) -> None:
        self._is_flushing = True

    def _end(self, *_: Any) -> None:
        # Not reached by a flush that fails.
        self._is_flushing = False

    def _take_back(self, *_: Any) -> None:
        self._is_taken_back = True

    def _flush_first(self, *_: Any) -> None:
        if self._session.new and not self._is_flushing:
            self._session.flush()
