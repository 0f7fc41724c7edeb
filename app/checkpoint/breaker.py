"""When so many events fail that it cannot be their fault."""

from dataclasses import dataclass, field

from app.checkpoint.errors import ConfigurationError
from app.checkpoint.retry import LARGEST, Backoff


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """Pauses an agent whose handler fails alike for event after event, instead of failing them all.

    That is when `failures` different events became failures with one fingerprint within `seconds`,
    and fewer than `failures` events succeeded meanwhile. From then on one event at a time shows
    whether the handler works again, after the delays of `probe`; as soon as one succeeds, all go
    on. While its agent is paused, an event is attempted up to twice as often as `max_retries`
    allows, and `metadata.attempt` goes on counting; then it is a failure, and another one is tried.
    """

    failures: int = 10
    seconds: float = 3600.0
    probe: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        """Refuse values that could never pause an agent, or never let it go on."""
        if type(self.failures) is not int or self.failures < 1:
            _refuse(f"failures={self.failures!r}", "write 1 or more")
        if (
            isinstance(self.seconds, bool)
            or not isinstance(self.seconds, int | float)
            or not 0 < self.seconds <= LARGEST
        ):
            _refuse(f"seconds={self.seconds!r}", "write seconds above 0")
        if not isinstance(self.probe, Backoff):
            _refuse(f"probe={self.probe!r}", "write Backoff(min=..., max=...)")


def _refuse(values: str, instead: str) -> None:
    msg = f"Breaker({values}) cannot work: {instead}"
    raise ConfigurationError(msg)
