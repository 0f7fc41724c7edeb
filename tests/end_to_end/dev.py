"""A running `uv run dev`, and what it has recorded."""

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tests.checkout import environment
from tests.polling import eventually

LIMIT = 60.0
"""Seconds in which anything must have happened on a machine that has other things to do."""


class Dev:
    """A running `uv run dev`; what it prints is in `log`."""

    def __init__(self, folder: Path, port: int, **variables: str) -> None:
        self.port = port
        self.log = folder / "dev.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.dev"],
                cwd=folder,
                env=environment(WEB_PORT=str(port), **variables),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text()

    def says(self, words: str) -> None:
        """Return once it has printed the words."""

        def said() -> None:
            assert words in self.output

        eventually(said, timeout=LIMIT)

    def end(self, send: Callable[[int, signal.Signals], None], signal: signal.Signals) -> int:
        """Send the signal to the process or its group, and return the exit status."""
        send(self.process.pid, signal)
        return self.process.wait(LIMIT)


@contextmanager
def dev(folder: Path, port: int, **variables: str) -> Iterator[Dev]:
    """Run dev mode in the folder, and leave nothing running."""
    running = Dev(folder, port, **variables)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def placed(folder: Path) -> set[str]:
    """Return the payloads that are recorded in the embedded database."""
    path = folder / "service.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            rows = database.execute("SELECT payload FROM checkpoint_events").fetchall()
    except sqlite3.OperationalError:
        # Not there yet.
        return set()
    return {payload for (payload,) in rows}


def some_placed(folder: Path) -> set[str]:
    """Return what is recorded, once that is anything."""

    def recorded() -> set[str]:
        found = placed(folder)
        assert found
        return found

    return eventually(recorded, timeout=LIMIT)
