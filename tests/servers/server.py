"""What the servers have in common: one port and one folder for as long as an instance lives."""

import shutil
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import ClassVar, Self

from tests.servers.machine import free_port, unprivileged_account
from tests.servers.process import Process

START_LIMIT = 60.0
STOP_LIMIT = 30.0


class ServerError(RuntimeError):
    """A server that did not start or end; the message carries the end of its log."""

    def __init__(self, server: "Server", what: str) -> None:
        tail = server.log.read_text(errors="replace")[-4000:] if server.log.exists() else ""
        super().__init__(f"{type(server).__name__} on port {server.port} {what}; its log:\n{tail}")


class Server(ABC):
    """A server on loopback that keeps its port and data through stop, kill and start.

    Its methods block: in a coroutine call them through `asyncio.to_thread`.
    Without a `folder` it makes a temporary one, which `close` deletes.
    """

    account: ClassVar[str | None] = None
    """Who runs it when we are root and it refuses to be ("nobody" where this one is unknown)."""
    abort_signal: ClassVar[Signals] = SIGKILL
    """What ends it at once when its data are of no more use."""
    not_ready: ClassVar[tuple[type[Exception], ...]]
    """What `_probe` raises while the server is starting, or another one answers on its port."""

    def __init__(self, folder: Path | None = None) -> None:
        prefix = f"{type(self).__name__.lower()}-"
        self._temporary = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix=prefix))
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "server.log"
        self.port = free_port()
        self._account = self.account and unprivileged_account(self.account)
        if self._account:
            shutil.chown(self.folder, self._account)
        self._process: Process | None = None

    @abstractmethod
    def _prepare(self) -> None:
        """Write what the server needs into its folder; called before every start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""

    @abstractmethod
    def _probe(self) -> None:
        """Ask for the server's identity; raise one of `not_ready` unless it is ours and able."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise ServerError(self, "is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the server is up."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Return once the server answers, started if it was not running; else ServerError."""
        if self.running:
            return
        self.kill()
        self._prepare()
        command = self._command()
        self._process = Process(
            command, log=self.log, account=self._account, abort=self.abort_signal
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end(self.abort_signal)
            raise

    def stop(self) -> None:
        """Tell the server to shut down in order (SIGTERM) and return once it has."""
        self._end(SIGTERM)

    def kill(self) -> None:
        """End the server with SIGKILL; the next `start` recovers its data."""
        self._end(SIGKILL)

    def close(self) -> None:
        """End the server at once and delete its temporary folder."""
        self._end(self.abort_signal)
        if self._temporary:
            shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while self.running:
            try:
                return self._probe()
            except self.not_ready as error:
                if time.monotonic() > deadline:
                    raise ServerError(self, f"is not ready after {START_LIMIT} s") from error
            time.sleep(0.02)
        raise ServerError(self, "ended while it was starting")

    def _end(self, signal: Signals) -> None:
        if self._process is None:
            return
        try:
            self._process.end(signal, limit=STOP_LIMIT)
        except TimeoutError as error:
            raise ServerError(self, f"did not end on {signal.name}") from error
        self._process = None
