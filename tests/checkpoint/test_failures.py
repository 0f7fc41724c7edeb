"""A failure can be recorded and read, whatever was raised."""

import asyncio
import base64
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from app.checkpoint import Checkpoint, Metadata
from app.checkpoint.failures import (
    FRAMES_LIMIT,
    LINE_LIMIT,
    LINES_LIMIT,
    MESSAGE_LIMIT,
    clean,
    error_backtrace,
    error_class,
    error_message,
    origin,
)
from app.checkpoint.models import FailureRow
from app.checkpoint.testing import database, process

checkpoint = Checkpoint("sqlite:///:memory:")


class Unprintable(Exception):  # noqa: N818 - no error of ours
    """An error whose text cannot be had."""

    def __init__(self, instead: BaseException) -> None:
        self._instead = instead

    def __str__(self) -> str:
        raise self._instead


class Nobody(Exception):  # noqa: N818 - no error of ours
    """An error of a class that was made at run time, without a module."""


Nobody.__module__ = None  # type: ignore[assignment]
Nobody.__qualname__ = "<made at\x00run time \ud800>" + 300 * "x"


def raised(error: BaseException) -> BaseException:
    """Return an error that has been raised, with its traceback."""
    try:
        raise error
    except BaseException as caught:  # noqa: BLE001 - whatever it is
        return caught


def backtrace(error: BaseException) -> list[str]:
    """Return the lines of a backtrace without folders and line numbers."""
    lines: list[str] = orjson.loads(error_backtrace(error))
    return [line.rsplit("/", 1)[-1] for line in lines]


def told(error: BaseException) -> list[str]:
    """Return what a backtrace says beside frames."""
    return [line for line in backtrace(error) if not line.startswith("test_failures.py:")]


@given(text=st.text(st.characters()), limit=st.integers(0, 20))
def test_clean_text_can_be_stored_by_every_database(text: str, limit: int) -> None:
    """UTF-8 without NUL, not longer than asked for, and unchanged where it need not change."""
    result = clean(text, limit)
    assert "\x00" not in result.encode().decode()
    assert len(result) == min(len(text), limit)
    expected = [a if a != "\x00" and not "\ud800" <= a <= "\udfff" else None for a in text[:limit]]
    assert all(old is None or old == new for old, new in zip(expected, result, strict=True))


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (KeyError("id"), "KeyError"),
        (asyncio.CancelledError(), "asyncio.exceptions.CancelledError"),
        (orjson.JSONDecodeError("", "", 0), "orjson.JSONDecodeError"),
        (Unprintable(LookupError()), f"{__name__}.Unprintable"),
    ],
)
def test_a_class_is_named_with_its_module(error: BaseException, name: str) -> None:
    """Unless it is built in."""
    assert error_class(error) == name


def test_a_class_that_names_no_module_goes_by_its_own_name() -> None:
    """However strange that is."""
    name = error_class(Nobody())
    assert name.startswith("<made at\N{REPLACEMENT CHARACTER}run time ?>x")
    assert len(name) == 255


@pytest.mark.parametrize(
    "instead",
    [LookupError(), RecursionError(), SystemExit(1), asyncio.CancelledError(), Nobody()],
    ids=lambda error: type(error).__name__[:9],
)
def test_an_error_without_a_text_says_why(instead: BaseException) -> None:
    """Its `__str__` may raise anything at all."""
    assert error_message(Unprintable(instead)).startswith("<no text: __str__ raised ")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("a\x00b"), "a\N{REPLACEMENT CHARACTER}b"),
        (ValueError("half \ud800"), "half ?"),
        (ValueError("x" * 1_000_000), "x" * MESSAGE_LIMIT),
        (ValueError(), ""),
        (ValueError(b"\xff"), r"b'\xff'"),
    ],
    ids=["NUL", "surrogate", "1 MB", "nothing", "bytes"],
)
def test_a_message_is_kept_as_far_as_it_can_be(error: Exception, message: str) -> None:
    """Cut, and without what a database refuses."""
    assert error_message(error) == message


def test_a_backtrace_tells_the_way_to_the_error() -> None:
    """Outermost frame first, each with its line of code."""

    def ship() -> None:
        raise KeyError("id")  # noqa: EM101 - as services write it

    try:
        ship()
    except KeyError as error:
        first, last = backtrace(error)
    assert "in test_a_backtrace_tells_the_way_to_the_error: ship()" in first
    assert 'in ship: raise KeyError("id")' in last


def test_a_backtrace_without_frames_is_empty() -> None:
    """An error that was never raised."""
    assert backtrace(ValueError()) == []


def test_causes_follow_with_their_own_frames() -> None:
    """What went wrong first is what an operator looks for."""
    cause = raised(ConnectionError("refused"))
    error = raised(ValueError("no order"))
    error.__cause__ = cause
    cause.__context__ = raised(KeyError("host"))
    lines = backtrace(error)
    assert told(error) == [
        "caused by ConnectionError: refused",
        "while handling KeyError: 'host'",
    ]
    assert [line.startswith("test_failures.py:") for line in lines] == [1, 0, 1, 0, 1]


def test_a_cause_that_was_denied_is_not_told() -> None:
    """`raise ... from None` means it."""
    error = raised(ValueError())
    error.__context__ = KeyError()
    error.__suppress_context__ = True
    assert told(error) == []


def test_members_of_a_group_are_told_one_by_one() -> None:
    """Each with its own cause."""
    member = raised(ValueError("second"))
    member.__cause__ = KeyError("why")
    inner = BaseExceptionGroup("inner", [member])
    error = raised(BaseExceptionGroup("two tasks", [OSError("first"), inner]))
    assert told(error) == [
        "in the group: OSError: first",
        "in the group: ExceptionGroup: inner (1 sub-exception)",
        "in the group: ValueError: second",
        "caused by KeyError: 'why'",
    ]


def test_errors_that_cause_each_other_are_told_once() -> None:
    """A circle has an end here."""
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert told(one) == ["caused by ValueError: other"]


def test_a_chain_without_end_is_cut() -> None:
    """10,000 errors, each caused by the next."""
    error = ValueError(0)
    for number in range(1, 10_000):
        effect = ValueError(number)
        effect.__cause__, error = error, effect
    assert len(backtrace(error)) == LINES_LIMIT


def test_of_a_deep_stack_the_innermost_frames_are_kept() -> None:
    """Ten thousand frames, and lines that never end."""

    def dig(depth: int) -> None:
        if depth:
            dig(depth - 1)
        else:
            bottom()

    def bottom() -> None:
        raise RecursionError

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        dig(10_000)
    except RecursionError as error:
        lines = backtrace(error)
    finally:
        sys.setrecursionlimit(limit)
    assert len(lines) == FRAMES_LIMIT
    assert "in bottom: raise RecursionError" in lines[-1]


def test_code_without_a_source_or_with_an_endless_line_is_told() -> None:
    """Generated code fails too."""
    endless = "x" * 10_000
    source = f"def {endless}(): raise KeyError\n{endless}()"
    try:
        exec(compile(source, "<generated>", "exec"), {})  # noqa: S102 - the case
    except KeyError as error:
        lines = backtrace(error)
    assert [line[:13] for line in lines[1:]] == ["<generated>:2", "<generated>:1"]
    assert max(map(len, lines)) <= LINE_LIMIT


def test_a_source_that_cannot_be_read_costs_the_backtrace_and_no_more() -> None:
    """An import hook of the service may raise anything when it is asked for source."""

    class Loader:
        def get_source(self, _: str) -> str:
            raise LookupError

    world: dict[str, Any] = {"__name__": "nowhere", "__loader__": Loader()}
    with pytest.raises(KeyError) as caught:
        exec(compile("raise KeyError", "nowhere.py", "exec"), world)  # noqa: S102 - the case
    assert backtrace(caught.value) == ["<no backtrace: LookupError>"]


HEADERS = st.lists(st.tuples(st.text(st.characters()), st.none() | st.binary()))


@given(headers=HEADERS, timestamp=st.none() | st.floats(0, 1e12))
def test_what_came_with_a_message_is_kept_as_json(
    headers: list[tuple[str, bytes | None]], timestamp: float | None
) -> None:
    """In order, repeated names included; bytes that are no text as base64."""
    kept = orjson.loads(origin(tuple(headers), timestamp))
    assert kept["timestamp"] == timestamp
    names = [name.encode("utf-8", "replace").decode() for name, _ in headers]
    assert [name for name, _ in kept["headers"]] == names
    assert [value_of(stored) for _, stored in kept["headers"]] == [value for _, value in headers]


def value_of(stored: str | dict[str, str] | None) -> bytes | None:
    """Return the header's value that is kept in this form."""
    if isinstance(stored, dict):
        return base64.b64decode(stored["base64"])
    return None if stored is None else stored.encode()


class Cruel(Unprintable):
    """An error with all that makes one hard to record."""


Cruel.__module__ = None  # type: ignore[assignment]
Cruel.__qualname__ = "\ud800\x00"


@pytest.mark.parametrize("instead", [KeyError(), SystemExit(), asyncio.CancelledError()])
async def test_the_cruellest_error_is_a_failure_like_any_other(instead: BaseException) -> None:
    """The row is there, and the worker goes on."""

    async def handle(_: Any, __: Metadata) -> None:
        raise Cruel(instead) from ExceptionGroup("\x00", [Cruel(instead)])

    columns = FailureRow.error_class, FailureRow.error_message, FailureRow.error_backtrace
    async with database() as into:
        result = await process(checkpoint(max_retries=0)(handle), b"{}", into=into)
        async with into.engine.connect() as connection:
            name, message, lines = (await connection.execute(select(*columns))).one()
    assert (result.outcome, name) == ("failed", "?\N{REPLACEMENT CHARACTER}")
    assert message == f"<no text: __str__ raised {type(instead).__name__}>"
    assert "in handle: raise Cruel" in lines
    assert "in the group: ?\N{REPLACEMENT CHARACTER}" in lines
