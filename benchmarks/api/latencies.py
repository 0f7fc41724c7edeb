"""How long each call takes, and beside each how long the floor takes for as many bytes."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from statistics import median, quantiles

from benchmarks.api.calls import Call

MACHINE = "a sum of 100,000 numbers: what is above its p50 is the machine's doing"
"""Asked as often as each call, in the client itself."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """What one call has shown; all in milliseconds."""

    call: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)

    @property
    def p50(self) -> float:
        """The median."""
        return median(self.call)

    @property
    def p99(self) -> float:
        """What one of a hundred requests takes longer than."""
        return _p99(self.call)

    @property
    def floor_p99(self) -> float:
        """The same of the floor."""
        return _p99(self.floor)

    @property
    def beyond(self) -> float:
        """How much of the p99 is the service's own."""
        return self.p99 - self.floor_p99


class Client:
    """Asks one server, over one connection that is kept."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def get(self, path: str) -> tuple[float, int]:
        """Return how many milliseconds an answer took, and its bytes.

        Raises:
            RuntimeError: it is none.
        """
        started = time.perf_counter()
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        body = response.read()
        elapsed = time.perf_counter() - started
        if response.status != HTTPStatus.OK:
            message = f"{path} was answered with {response.status}: {body[:500]!r}"
            raise RuntimeError(message)
        return elapsed * 1000, len(body)


def measure(
    calls: Sequence[Call], *, api: Client, floor: Client, requests: int
) -> dict[str, Latencies]:
    """Make so many requests of each call, in an order that is random and always the same."""
    chance = random.Random(requests)  # noqa: S311 - not for secrets
    measured = {call.name: Latencies() for call in calls} | {MACHINE: Latencies()}
    asked = [*calls, None] * requests
    chance.shuffle(asked)
    for call in asked:
        if call is None:
            measured[MACHINE].call.append(_add_up())
            measured[MACHINE].floor.append(0)
            continue
        elapsed, size = api.get(chance.choice(call.paths))
        measured[call.name].call.append(elapsed)
        elapsed, _ = floor.get(f"/{size}")
        measured[call.name].floor.append(elapsed)
    return measured


def _add_up() -> float:
    started = time.perf_counter()
    sum(number for number in range(100_000))
    return (time.perf_counter() - started) * 1000


def _p99(times: Sequence[float]) -> float:
    return quantiles(times, n=100, method="inclusive")[-1]
