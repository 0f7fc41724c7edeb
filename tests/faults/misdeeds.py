"""What no handler should do, and what some handler will do.

Each is done by an event whose payload names it: `{"id": "…", "does": "hang"}`.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from sqlalchemy.ext.asyncio import AsyncSession

from tests.end_to_end.flag import Flag

Misdeed: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
SessionMisdeed: TypeAlias = Callable[[AsyncSession], Any]

GOBBLES, GOBBLED_BYTES = 100, 16 * 1024 * 1024
FRAMES = 10_000
INTERVAL = 0.01

leaked: list[object] = []
"""What is never let go."""


class UnprintableError(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


def raising(error: BaseException) -> Misdeed:
    """Return a misdeed that raises this."""

    async def misdeed() -> None:
        raise error

    return misdeed


async def hang() -> None:
    """Wait for what never comes."""
    await asyncio.Event().wait()


async def swallow() -> None:
    """Take no notice of being out of time."""
    try:
        await hang()
    except asyncio.CancelledError:
        return


async def leak() -> None:
    """Leave a task behind that raises when nobody listens any more."""
    leaked.append(asyncio.create_task(raising(RuntimeError("leaked"))()))


async def recur() -> None:
    """Call oneself until Python refuses."""
    await recur()


async def dive() -> None:
    """Raise with a great many frames on the stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(2 * FRAMES)
    try:
        _dive(FRAMES)
    finally:
        sys.setrecursionlimit(limit)


def _dive(frames: int) -> None:
    if not frames:
        msg = "deep"
        raise RuntimeError(msg)
    _dive(frames - 1)


async def gobble() -> None:
    """Take more memory than whoever tests it allows."""
    leaked.extend(b"\x01" * GOBBLED_BYTES for _ in range(GOBBLES))


async def flush_and_close(session: AsyncSession) -> None:
    """Close what others still write to; without the flush, one's own would rightly be gone."""
    await session.flush()
    await session.close()


FAILING: dict[str, Misdeed] = {
    "raise": raising(RuntimeError("raised")),
    "cancel": raising(asyncio.CancelledError()),
    "no memory": raising(MemoryError()),
    "unprintable": raising(UnprintableError()),
    "NUL": raising(RuntimeError("\0")),
    "long": raising(RuntimeError("x" * 1_000_000)),
    "hang": hang,
    "recur": recur,
    "dive": dive,
}
"""Ends in a failure."""
HARMLESS: dict[str, Misdeed] = {"swallow": swallow, "leak": leak}
"""Ends as if nothing had been."""
WITH_SESSION: dict[str, SessionMisdeed] = {
    "begin": AsyncSession.begin_nested,
    "commit": AsyncSession.commit,
    "close": flush_and_close,
    "rollback": AsyncSession.rollback,
}
"""Takes into its own hands what is the checkpoint's; the last one ends in a failure."""
FATAL: dict[str, Misdeed] = {
    "exit": raising(SystemExit(3)),
    "interrupt": raising(KeyboardInterrupt()),
    "generator": raising(GeneratorExit()),
    "gobble": gobble,
}
"""Ends the process."""


async def misbehave(does: str, session: AsyncSession | None, *, mended: Flag) -> None:
    """Do what is asked for; what would end the process, only while nobody has mended it."""
    misdeeds = {**FAILING, **HARMLESS, **({} if mended else FATAL)}
    if session is not None and does in WITH_SESSION:
        await WITH_SESSION[does](session)
    elif does in misdeeds:
        await misdeeds[does]()


def block(until: Flag) -> None:
    """Let nothing else run in this process for as long as others want."""
    while not until:
        time.sleep(INTERVAL)
