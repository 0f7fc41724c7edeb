"""What may be set on `@checkpoint(...)`, and what is refused at once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import orjson

from app.checkpoint.breaker import Breaker
from app.checkpoint.errors import ConfigurationError
from app.checkpoint.events import Metadata
from app.checkpoint.identity import KINDS, Identity
from app.checkpoint.outcomes import Ack
from app.checkpoint.retry import LARGEST, Backoff

RetryIf: TypeAlias = Callable[[Exception, Metadata], bool]
Decode: TypeAlias = Callable[[bytes], Any]
Describe: TypeAlias = Callable[[Any, Metadata], Ack]
OrderedBy: TypeAlias = Literal["partition", "key"]
ORDERS = ("partition", "key")

CONCURRENCY = 32
"""Handlers of one partition at work side by side, where nothing else is asked for."""
MOST_CONCURRENCY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the events of one agent are handled."""

    max_retries: int | None = 5
    """Attempts after the first; 0: one attempt in all; None: until it succeeds."""
    backoff: Backoff = field(default_factory=Backoff)
    retry_if: RetryIf | None = None
    """Asked after a failed attempt that may be retried; False makes it the last one."""
    timeout: float | None = 300.0
    """Seconds for one attempt, and as many for an async decoder; None: no limit."""
    decode: Decode = orjson.loads
    """Raw value to payload, plain or async. A plain one that raises is not asked again."""
    identity: Identity = "payload"
    """What makes two messages one event."""
    describe: Describe | None = None
    """Names entity, time, type and version of a failed event."""
    breaker: Breaker | None = field(default_factory=Breaker)
    """When the agent pauses instead of failing event after event; None: never."""
    transactional: bool = False
    """The handler takes a session, and what it writes there commits together with the event row."""
    ordered_by: OrderedBy = "partition"
    """Events wait for those before them: for all in their partition, or for those of their key."""
    concurrency: int | None = None
    """Handlers of one partition at work side by side if ordered by key; None: 32."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, with a sentence that says what to write."""
        retries = self.max_retries
        if retries is not None and (type(retries) is not int or retries < 0):
            _refuse("max_retries", retries, "write 0 or more, or None to retry for ever")
        if not isinstance(self.backoff, Backoff):
            _refuse("backoff", self.backoff, "write Backoff(min=..., max=...)")
        if self.breaker is not None and not isinstance(self.breaker, Breaker):
            _refuse("breaker", self.breaker, "write Breaker(failures=..., seconds=...), or None")
        if self.timeout is not None and (
            isinstance(self.timeout, bool)
            or not isinstance(self.timeout, int | float)
            or not 0 < self.timeout <= LARGEST
        ):
            _refuse("timeout", self.timeout, "write seconds above 0, or None for no limit")
        if not callable(self.identity) and self.identity not in KINDS:
            _refuse("identity", self.identity, f"write one of {', '.join(KINDS)}, or a function")
        if not callable(self.decode) or _misfit(self.decode, 1):
            _refuse("decode", self.decode, "write a function from bytes to the payload")
        if type(self.transactional) is not bool:
            _refuse("transactional", self.transactional, "write True or False")
        self._check_order()
        self._check_functions()

    def _check_order(self) -> None:
        concurrency = self.concurrency
        if self.ordered_by not in ORDERS:
            _refuse("ordered_by", self.ordered_by, f"write one of {', '.join(ORDERS)}")
        if self.ordered_by == "key" and self.transactional:
            instead = "each event would need a connection of its own; write transactional=False"
            _refuse("ordered_by", self.ordered_by, f"{instead}, or ordered_by='partition'")
        if concurrency is None:
            return
        if type(concurrency) is not int or not 1 <= concurrency <= MOST_CONCURRENCY:
            _refuse("concurrency", concurrency, f"write 1 to {MOST_CONCURRENCY}, or None for 32")
        if self.ordered_by == "partition":
            _refuse("concurrency", concurrency, "write ordered_by='key' as well, or leave it out")

    @property
    def side_by_side(self) -> int:
        """How many handlers of one partition may be at work at once."""
        return 1 if self.ordered_by == "partition" else self.concurrency or CONCURRENCY

    def _check_functions(self) -> None:
        for name, of in (
            ("retry_if", "(error, metadata)"),
            ("describe", "(payload, metadata)"),
            ("identity", "(payload, metadata)"),
        ):
            value = getattr(self, name)
            if value is None or (name == "identity" and not callable(value)):
                continue
            if not callable(value) or is_async(value) or _misfit(value, 2):
                _refuse(name, value, f"write a plain function of {of}, not async")

    def check_handler(self, handler: Callable[..., Any]) -> None:
        """Refuse a handler that cannot be called the way these options ask for.

        Raises:
            ConfigurationError: not a coroutine function, or one with other parameters.
        """
        wanted = "payload, metadata" + (", session" if self.transactional else "")
        name = getattr(handler, "__qualname__", repr(handler))
        if not inspect.iscoroutinefunction(handler):
            msg = f"@checkpoint decorates a coroutine function: write `async def {name}({wanted})`"
            raise ConfigurationError(msg)
        misfit = _misfit(handler, 3 if self.transactional else 2)
        if misfit is not None:
            msg = f"the handler {name} must take ({wanted}): {misfit}"
            raise ConfigurationError(msg)


def is_async(function: Callable[..., Any]) -> bool:
    """Return whether what a function returns is to be awaited, also of an object that is called."""
    called = type(function).__call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)


def _misfit(function: Callable[..., Any], arguments: int) -> TypeError | None:
    """Return why a function cannot be called with so many arguments, None when it can."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None  # Written in C, it does not say.
    try:
        signature.bind(*[None] * arguments)
    except TypeError as misfit:
        return misfit
    return None


def _refuse(name: str, value: object, instead: str) -> None:
    msg = f"checkpoint({name}={value!r}) cannot work: {instead}"
    raise ConfigurationError(msg)
