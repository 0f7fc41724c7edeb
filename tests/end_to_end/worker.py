"""A worker of the service: `faust worker` in a process of its own."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM, Signals

from tests.end_to_end.client import Client
from tests.polling import eventually
from tests.servers.machine import free_port
from tests.servers.process import Process

ROOT = Path(__file__).parents[2]
START_LIMIT = 60.0
STOP_LIMIT = 60.0


class Worker:
    """One process; what it prints is in `log`. It dies with whoever started it.

    With `web` it serves the API, to `client`.
    """

    def __init__(
        self, module: str, *, log: Path, environ: Mapping[str, str], web: bool = False
    ) -> None:
        port = free_port()
        self.log = log
        self.client = Client(port, token=environ.get("API_TOKEN"))
        self.status: int | None = None
        """The exit status, once `end` has returned it."""
        settings = {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environ}
        # `env` becomes the worker: the process id stays.
        variables = [f"{name}={value}" for name, value in settings.items()]
        faust = [sys.executable, "-m", "faust", "-A", module]
        served = ["--web-bind", "127.0.0.1", "--web-port", str(port)]
        options = served if web else ["--without-web"]
        self._process = Process(
            ["env", *variables, *faust, "worker", "-l", "info", *options],
            log=log,
            account=None,
            abort=SIGKILL,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process has not ended yet."""
        return self._process.running

    @property
    def output(self) -> str:
        """What the worker has printed so far."""
        return self.log.read_text(errors="replace")

    def wait_until_ready(self) -> None:
        """Return once the worker has joined its group and fetches its partitions."""

        def ready() -> None:
            assert "Worker ready" in self.output, self.output
            assert self.running, self.output

        eventually(ready, timeout=START_LIMIT)

    def send(self, signal: Signals) -> None:
        """Send a signal and go on."""
        if self.running:
            os.kill(self.pid, signal)

    def freeze(self) -> None:
        """Stop the process where it is."""
        self.send(SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        self.send(SIGCONT)

    def kill(self) -> None:
        """End the process at once."""
        self.end(SIGKILL)

    def end(self, signal: Signals = SIGTERM, *, limit: float = STOP_LIMIT) -> int:
        """Send a signal unless the process has ended, and return its exit status.

        Raises:
            TimeoutError: the process has not ended within so many seconds.
        """
        if self.status is None:
            self.status = self._process.end(signal, limit=limit)
        return self.status
