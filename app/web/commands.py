"""What the body of a request asks for; what cannot be meant is refused with a sentence."""

import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from app.checkpoint import Action, Plan
from app.web.params import SHOWN, UNRESOLVED_FILTERS, BadRequestError, read_filter, read_query

RETRY = ("payload", "payload_base64", "dry_run")
PLAN = ("limit", "rate", "canary", "failure_ratio")
BULK = ("ids", "filter", "dry_run", *PLAN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How one failure is to be retried."""

    payload: bytes | None
    """The value to run with instead, as it is to reach the handler; None: the stored one."""
    dry_run: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bulk:
    """What is to be done about many failures."""

    plan: Plan
    dry_run: bool


def read_nothing(body: bytes) -> None:
    """Check that a body is empty, or an empty object.

    Raises:
        BadRequestError: it is neither.
    """
    _members(body, (), json.loads)


def read_retry(body: bytes) -> Retry:
    """Return how one failure is to be retried; no body: as it is.

    Raises:
        BadRequestError: no JSON object of the members that there are.
    """
    members = _members(body, RETRY, _exact)
    return Retry(payload=_payload(members), dry_run=_flag(members, "dry_run"))


def read_bulk(body: bytes, action: Action, *, topics: frozenset[str] | None) -> Bulk:
    """Return what is to be done about which failures, out of those that the caller may see.

    Raises:
        BadRequestError: no JSON object of the members that there are.
    """
    members = _members(body, BULK, _lenient)
    if ("ids" in members) is ("filter" in members):
        _refuse("write either ids or filter: {} as a filter means all unresolved failures")
    for name in ("ids", "canary"):
        if name in members and type(members[name]) is not list:
            _refuse(f"{name} cannot be used: write a list of whole numbers")
    plan = {name: members[name] for name in PLAN if name in members}
    if "canary" in plan:
        plan["canary"] = tuple(plan["canary"])
    return Bulk(
        plan=Plan(
            action=action,
            ids=tuple(members["ids"]) if "ids" in members else None,
            filter=read_filter(_selection(members.get("filter", {})), topics=topics),
            **plan,
        ),
        dry_run=_flag(members, "dry_run"),
    )


def _members(body: bytes, known: tuple[str, ...], loads: Callable[..., Any]) -> Mapping[str, Any]:
    if not body.strip():
        return {}
    try:
        members = loads(body.decode(), object_pairs_hook=_once, parse_constant=_refuse_constant)
    except BadRequestError:
        raise
    except (ValueError, RecursionError):
        _refuse("the body cannot be read: write a JSON object, in UTF-8 and not too deep")
    if type(members) is not dict:
        _refuse("the body cannot be used: write a JSON object")
    for name in members:
        if name not in known:
            instead = f"write one of {', '.join(known)}" if known else "write none"
            _refuse(f"there is no member {name[:SHOWN]}: {instead}")
    return members


def _exact(body: str, **hooks: Any) -> Any:
    """Read JSON so that dumping it gives each number as it was written."""
    number = _fragment
    return json.loads(body, parse_int=number, parse_float=number, **hooks)


def _lenient(body: str, **hooks: Any) -> Any:
    """Read JSON so that 1.0 is a whole number, as JSON Schema says."""
    return json.loads(body, parse_float=_number, **hooks)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _fragment(text: str) -> orjson.Fragment:
    return orjson.Fragment(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        # Handlers read the last, people the first: nobody can say what was meant.
        _refuse("an object has a member twice: write each once")
    return members


def _payload(members: Mapping[str, Any]) -> bytes | None:
    if "payload" in members and "payload_base64" in members:
        _refuse("write either payload or payload_base64")
    try:
        if "payload" in members:
            return orjson.dumps(members["payload"])
        if "payload_base64" in members:
            return b64decode(members["payload_base64"], validate=True)
    except (TypeError, ValueError):
        _refuse("the payload cannot be used: write JSON that is not too deep, or base64")
    return None


def _flag(members: Mapping[str, Any], name: str) -> bool:
    value = members.get(name, False)
    if type(value) is not bool:
        _refuse(f"{name} cannot be used: write true or false")
    return value


def _selection(members: Any) -> dict[str, Any]:
    if type(members) is not dict:
        _refuse('filter cannot be used: write an object, such as {"agent": "orders"}')
    texts = {name: _as_text(name, value) for name, value in members.items()}
    return read_query(texts, UNRESOLVED_FILTERS)


def _as_text(name: str, value: Any) -> str:
    if name == "partition" and type(value) is int:
        return str(value)
    if name == "partition" or type(value) is not str:
        kind = "a whole number" if name == "partition" else "a text"
        _refuse(f"{name[:SHOWN]} cannot be used: write {kind}")
    return value


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError


def _refuse(message: str) -> NoReturn:
    raise BadRequestError(message)
