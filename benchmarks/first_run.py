"""How long it takes from nothing to events over HTTP: `uv run python -m benchmarks.first_run`."""

import json
import os
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
GENERATE = ["uvx", "cookiecutter@2.7.1", "--no-input", str(ROOT)]
LIMIT = 300.0
"""Seconds in which a step must have come to its end."""
POLL_SECONDS = 0.02
STEPS = {
    "generate": "`uvx cookiecutter …` asks nothing and writes the service",
    "install": "`uv run dev` resolves versions and makes the environment",
    "start": "broker, database and migrations",
    "serve": "the worker answers over HTTP",
    "event": "the first event can be read at `/v1/events`",
}


def main() -> None:
    """Print a table of the medians and, last, the line of JSON."""
    parser = ArgumentParser(prog="python -m benchmarks.first_run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    rounds = [_run() for _ in range(parser.parse_args().rounds)]
    medians = {step: statistics.median(seconds[step] for seconds in rounds) for step in STEPS}
    print("| step | seconds |\n|---|---|")
    for step, meaning in STEPS.items():
        print(f"| {meaning} | {medians[step]:.1f} |")
    print(f"| all of it | {statistics.median(sum(one.values()) for one in rounds):.1f} |")
    print(json.dumps(rounds))


def _run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        watch = Stopwatch()
        subprocess.run(GENERATE, cwd=folder, check=True, capture_output=True, env=_environment())
        watch.stop("generate")
        [service] = Path(folder).iterdir()
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        _start(service, port, watch)
    return watch.seconds


def _start(service: Path, port: int, watch: "Stopwatch") -> None:
    log = service / "dev.log"
    with log.open("wb") as file:
        dev = subprocess.Popen(
            ["uv", "run", "dev"],
            cwd=service,
            env=_environment() | {"WEB_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    try:
        _wait(dev, lambda: "Installed" in log.read_text())
        watch.stop("install")
        _wait(dev, lambda: "Ctrl-C ends all of it" in log.read_text())
        watch.stop("start")
        _wait(dev, lambda: _get(port, "/ping") is not None)
        watch.stop("serve")
        _wait(dev, lambda: _get(port, "/v1/events") not in {None, b"[]"})
        watch.stop("event")
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait()


class Stopwatch:
    """Seconds that each step takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.monotonic()

    def stop(self, step: str) -> None:
        """End a step and begin the next one."""
        now = time.monotonic()
        self.seconds[step], self._since = now - self._since, now


def _wait(dev: subprocess.Popen[bytes], done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not done():
        if dev.poll() is not None or time.monotonic() > deadline:
            msg = "the service has not started"
            raise RuntimeError(msg)
        time.sleep(POLL_SECONDS)


def _get(port: int, path: str) -> bytes | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            body: bytes = answer.read()
            return body.strip()
    except OSError:
        return None


def _environment() -> dict[str, str]:
    # This benchmark's own environment is not the service's.
    ours = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT", "PYTHONPATH"}
    return {name: value for name, value in os.environ.items() if name not in ours}


if __name__ == "__main__":
    main()
