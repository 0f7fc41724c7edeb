"""What this machine offers to a server: programs, accounts, ports."""

import os
import pwd
import secrets
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path


class ServerUnavailableError(Exception):
    """The machine lacks a program that the server needs."""


def find_program(name: str, *, folders: Sequence[Path] = ()) -> Path:
    """Return the program found on PATH, else in the first of `folders` that has it."""
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    found = shutil.which(name, path=path)
    if found is None:
        message = f"{name} is not installed"
        raise ServerUnavailableError(message)
    return Path(found)


def unprivileged_account(preferred: str) -> str | None:
    """Return the account for a server that refuses to run as root; None when we are not root."""
    if os.geteuid():
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return preferred if preferred in known else "nobody"


def free_port() -> int:
    """Return a free TCP port below those that the kernel gives to outgoing connections.

    While its server is down, a client that keeps trying to connect to one of those (from 32768
    on Linux) may be given the very same port as its own end, and is then connected to itself.
    """
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
