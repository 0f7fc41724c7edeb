"""A database whose host has vanished without a word is given up after half a minute."""

import socket
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

OPTIONS = {
    "TCP_KEEPIDLE": 10,
    "TCP_KEEPINTVL": 5,
    "TCP_KEEPCNT": 4,
    "TCP_USER_TIMEOUT": 30_000,
}
"""Seconds of silence before the first question and between two, how many stay unanswered, and
milliseconds until what was sent must be confirmed; not every system has all of them."""


def keep_alive(engine: AsyncEngine) -> None:
    """Have the kernel ask whether the other end is there while a statement's answer is awaited.

    By default it asks after two hours, and a lane would stand still for as long.
    """

    @event.listens_for(engine.sync_engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        transport = connection.driver_connection._transport  # noqa: SLF001 - neither driver shows it
        link = transport.get_extra_info("socket")
        if link.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in OPTIONS.items():
            if hasattr(socket, name):
                link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
