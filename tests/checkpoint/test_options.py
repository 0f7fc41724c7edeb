"""What cannot work is refused where it is written, with a sentence that says what to write."""

import functools
import json
from typing import Any

import orjson
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.checkpoint import Ack, Backoff, Checkpoint, ConfigurationError, Metadata, ack
from app.checkpoint.options import Options

checkpoint = Checkpoint("sqlite:///:memory:")


async def handle(_: Any, __: Metadata) -> Ack:
    """Acknowledge."""
    return ack("order", 0)


async def handle_in_transaction(_: Any, __: Metadata, ___: AsyncSession) -> Ack:
    """Acknowledge."""
    return ack("order", 0)


async def two(_: Any, __: Any) -> Any:
    """Take two arguments, but is awaited."""


class Awaited:
    """An object that is called, and awaited."""

    async def __call__(self, _: Any, __: Any) -> Any:
        """Take two arguments."""


NOT_ASYNC = "not async"
UNUSABLE: list[tuple[str, Any, str]] = [
    ("max_retries", -1, "write 0 or more, or None"),
    ("max_retries", 1.0, "write 0 or more, or None"),
    ("max_retries", True, "write 0 or more, or None"),
    ("max_retries", "5", "write 0 or more, or None"),
    ("backoff", 1.0, r"write Backoff\("),
    ("backoff", None, r"write Backoff\("),
    ("breaker", True, r"write Breaker\("),
    ("breaker", 10, r"write Breaker\("),
    ("timeout", 0, "write seconds above 0, or None"),
    ("timeout", -1, "write seconds above 0, or None"),
    ("timeout", float("nan"), "write seconds above 0, or None"),
    ("timeout", float("inf"), "write seconds above 0, or None"),
    ("timeout", 10**400, "write seconds above 0, or None"),
    ("timeout", "300", "write seconds above 0, or None"),
    ("timeout", True, "write seconds above 0, or None"),
    ("identity", "checksum", "write one of payload, key_and_payload, offset, or a function"),
    ("identity", None, "write one of payload, key_and_payload, offset, or a function"),
    ("identity", [], "write one of payload, key_and_payload, offset, or a function"),
    ("identity", lambda _: "", NOT_ASYNC),
    ("identity", two, NOT_ASYNC),
    ("identity", Awaited(), NOT_ASYNC),
    ("decode", None, "write a function from bytes"),
    ("decode", "json", "write a function from bytes"),
    ("decode", lambda: None, "write a function from bytes"),
    ("decode", lambda _, __: None, "write a function from bytes"),
    ("retry_if", True, NOT_ASYNC),
    ("retry_if", lambda _: True, NOT_ASYNC),
    ("retry_if", lambda _, *, metadata: metadata, NOT_ASYNC),
    ("retry_if", two, NOT_ASYNC),
    ("describe", "entity", NOT_ASYNC),
    ("describe", lambda _: None, NOT_ASYNC),
    ("describe", two, NOT_ASYNC),
    ("describe", functools.partial(two), NOT_ASYNC),
    ("ordered_by", "keys", "write one of partition, key"),
    ("ordered_by", None, "write one of partition, key"),
    ("concurrency", 32, "write ordered_by='key' as well"),
    ("concurrency", 1, "write ordered_by='key' as well"),
    ("concurrency", 0, "write 1 to 500"),
    ("concurrency", 501, "write 1 to 500"),
    ("concurrency", True, "write 1 to 500"),
    ("transactional", None, "write True or False"),
    ("transactional", 1, "write True or False"),
]


@pytest.mark.parametrize(
    ("name", "value", "instead"),
    UNUSABLE,
    ids=[f"{name}-{position}" for position, (name, _, _) in enumerate(UNUSABLE)],
)
def test_an_unusable_option_is_refused_where_it_is_written(
    name: str, value: Any, instead: str
) -> None:
    """On an agent and as a default, not with the first event."""
    for write in (checkpoint, functools.partial(Checkpoint, "sqlite:///:memory:")):
        with pytest.raises(ConfigurationError, match=rf"^checkpoint\({name}=.* {instead}"):
            write(**{name: value})


def test_every_option_is_refused_in_some_form() -> None:
    """A new one needs its check."""
    assert {name for name, _, _ in UNUSABLE} == set(Options.__slots__)


@pytest.mark.parametrize(
    "options",
    [
        {"max_retries": 0},
        {"max_retries": None},
        {"backoff": Backoff(min=0, max=0)},
        {"timeout": None},
        {"timeout": 1},
        {"identity": "offset"},
        {"identity": lambda _, __, more=None: str(more)},
        {"decode": json.loads},
        {"decode": orjson.loads},
        {"decode": dict},
        {"decode": functools.partial(str, encoding="utf-8")},
        {"describe": lambda payload, _: ack(payload, 0)},
        {"describe": None},
        {"retry_if": isinstance},
        {"retry_if": None},
        {"ordered_by": "key"},
        {"ordered_by": "key", "concurrency": 1},
        {"ordered_by": "key", "concurrency": 500},
        {"ordered_by": "partition", "concurrency": None},
    ],
    ids=repr,
)
def test_what_can_work_is_taken(options: dict[str, Any]) -> None:
    """Zero and None are values, and a function of C or with more parameters is a function."""
    handler = checkpoint(**options)(handle)
    for name, value in options.items():
        assert getattr(handler.options, name) == value


def test_order_by_key_in_transactions_is_refused() -> None:
    """Whether both are written on the agent or one is a default."""
    by_key = Checkpoint("sqlite:///:memory:", ordered_by="key", concurrency=8)
    with pytest.raises(ConfigurationError, match=r"connection of its own; write transactional="):
        checkpoint(ordered_by="key", transactional=True)
    with pytest.raises(ConfigurationError, match=r"or ordered_by='partition'"):
        by_key(transactional=True)
    with pytest.raises(ConfigurationError, match=r"concurrency=8.* write ordered_by='key'"):
        by_key(ordered_by="partition")
    agent = by_key(transactional=True, ordered_by="partition", concurrency=None)
    assert agent(handle_in_transaction).options.side_by_side == 1


def test_an_option_that_there_is_not_is_refused() -> None:
    """The sentence lists those that there are."""
    for write in (checkpoint, functools.partial(Checkpoint, "sqlite:///:memory:")):
        with pytest.raises(ConfigurationError, match=r"no option retries: .*max_retries, backoff"):
            write(retries=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("transactional", [False, True])
@pytest.mark.parametrize(
    ("handler", "instead"),
    [
        (lambda _, __: None, "write `async def"),
        (Awaited(), "write `async def"),
        (Ack, "write `async def"),
        ("handle", "write `async def"),
        (handle_in_transaction, r"must take \(payload, metadata\): missing"),
        (handle, r"must take \(payload, metadata, session\): too many"),
    ],
)
def test_a_handler_that_cannot_be_called_is_refused(
    handler: Any, instead: str, *, transactional: bool
) -> None:
    """Not a coroutine function, or of other parameters than the options ask for."""
    if handler in (handle, handle_in_transaction) and transactional == (handler is not handle):
        assert checkpoint(transactional=transactional)(handler).function is handler
        return
    with pytest.raises(ConfigurationError, match=instead):
        checkpoint(transactional=transactional)(handler)


async def named_only(_: Any, *, metadata: Metadata) -> Ack:
    """Acknowledge, but its metadata has to be named."""
    return ack(metadata.offset, 0)


def test_a_handler_whose_parameters_must_be_named_is_refused() -> None:
    """It is called by position."""
    with pytest.raises(ConfigurationError, match="named_only must take"):
        checkpoint()(named_only)


def test_forgotten_parentheses_are_told() -> None:
    """The most natural mistake gets its own sentence."""
    with pytest.raises(ConfigurationError, match=r"write @checkpoint\(\)"):
        checkpoint(handle)  # type: ignore[arg-type]
