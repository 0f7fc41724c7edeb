"""The service's settings: the only reader of the environment."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from hashlib import sha256
from typing import NoReturn

from app.ages import age
from app.checkpoint import Retention
from app.checkpoint.database import async_url

SERVICE_NAME = "faust-service"
SOURCE_TOPIC = "orders"
DATABASE_URL = "sqlite:///service.db"

BROKER_URL = "kafka://localhost:9092"
WEB_HOST = "127.0.0.1"
WEB_PORT = "6066"
MAX_PORT = 65535
FRAMEWORK_LOG_LEVEL = "info"
PRUNE_INTERVAL = "1h"

LEVELS = ("debug", "info", "warning", "error")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
KEPT = tuple(field.name for field in fields(Retention))
"""What can be kept for a while, and then be deleted."""

API_TOKEN = re.compile(r"([\w.@-]{1,64}):(full|read):([\w~.-]{32,512})(?::([^:]+))?", re.ASCII)


class SettingsError(ValueError):
    """A variable of the environment cannot be used; the message says which, and what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What a token of the API lets its bearer do."""

    name: str
    full: bool
    """Whether they may change anything; if not, they read."""
    topics: frozenset[str] | None
    """The only topics that they may see; None: all."""
    digest: bytes
    """SHA-256 of the token, which itself is not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What may differ between the places where the service runs."""

    service_name: str
    """Faust's app id, and so the consumer group."""
    source_topic: str
    broker_url: str
    database_url: str
    web_host: str
    web_port: int
    web_only: bool
    """Whether this process leaves consuming to others, and only answers over HTTP."""
    api_tokens: tuple[ApiToken, ...]
    masked_fields: tuple[str, ...]
    """Names and dotted paths of what the web does not show of payloads."""
    prune: Retention
    """What workers delete by themselves; by default nothing."""
    prune_interval: timedelta
    topic_allow_declare: bool
    """Whether Faust may create its topics; the embedded broker of dev mode cannot."""
    framework_log_level: int
    """The least that Faust and the Kafka client may log; what the service logs is up to `-l`."""

    @classmethod
    def load(cls) -> "Settings":
        """Read the environment of this process; where that cannot be used, end with a sentence."""
        try:
            return cls.from_environment()
        except SettingsError as error:
            # Whoever started the process chose the value, and has no use for our stack.
            raise SystemExit(str(error)) from None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read the variables, an empty one counting as not set.

        Raises:
            SettingsError: a value cannot be used; passwords are not shown.
        """
        return cls(
            service_name=SERVICE_NAME,
            source_topic=_topic(environ.get("SOURCE_TOPIC") or SOURCE_TOPIC),
            broker_url=_broker(environ.get("BROKER_URL") or BROKER_URL),
            database_url=_database(environ.get("DATABASE_URL") or DATABASE_URL),
            web_host=environ.get("WEB_HOST") or WEB_HOST,
            web_port=_port(environ.get("WEB_PORT") or WEB_PORT),
            web_only=_truth("WEB_ONLY", environ.get("WEB_ONLY") or "false"),
            api_tokens=_tokens(environ.get("API_TOKENS") or ""),
            masked_fields=_fields(environ.get("MASKED_FIELDS") or ""),
            prune=_retention(environ.get("PRUNE") or ""),
            prune_interval=_interval(environ.get("PRUNE_INTERVAL") or PRUNE_INTERVAL),
            topic_allow_declare=_truth(
                "TOPIC_ALLOW_DECLARE", environ.get("TOPIC_ALLOW_DECLARE") or "true"
            ),
            framework_log_level=_level(environ.get("FRAMEWORK_LOG_LEVEL") or FRAMEWORK_LOG_LEVEL),
        )


def _topic(value: str) -> str:
    if not is_topic(value):
        _refuse("SOURCE_TOPIC", value, "write a Kafka topic: letters, digits, '.', '_' and '-'")
    return value


def is_topic(name: str) -> bool:
    """Return whether Kafka can have a topic of this name."""
    return bool(re.fullmatch(r"[A-Za-z0-9._-]{1,249}", name)) and name not in {".", ".."}


def _broker(value: str) -> str:
    for url in value.split(";"):
        match = re.fullmatch(r"kafka://[^/@\s:]+:([0-9]{1,5})/?", url)
        if not match or not 1 <= int(match[1]) <= MAX_PORT:
            # A password stands before an '@' or after a '=': then nothing of the value is safe.
            shown = "…" if re.search("[@=]", value) else value
            _refuse("BROKER_URL", shown, "write kafka://host:port, several separated by ';'")
    return value


def _database(value: str) -> str:
    try:
        url = async_url(value)
    except ValueError as error:
        # Not the value: a password may stand anywhere in what is not a URL.
        _refuse("DATABASE_URL", "…", str(error))
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        _refuse("DATABASE_URL", "…", "write sqlite:///file.db: what is in memory is not kept")
    return value


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= MAX_PORT:
        _refuse("WEB_PORT", value, "write a number from 1 to 65535")
    return int(value)


def _tokens(value: str) -> tuple[ApiToken, ...]:
    tokens = tuple(_token(entry, number) for number, entry in enumerate(value.split(), start=1))
    if len({token.digest for token in tokens}) < len(tokens):
        _refuse_token("make a token of its own for each entry")
    return tokens


def _token(entry: str, number: int) -> ApiToken:
    match = API_TOKEN.fullmatch(entry)
    if match is None:
        _refuse_token(
            f"write entry {number} as name:full:token, name:read:token or"
            " name:read:token:topic,topic, with a token of 32 to 512 of A-Z, a-z, 0-9, '_', '~',"
            " '.' and '-'"
        )
    name, access, token, listed = match.groups()
    topics = frozenset(listed.split(",")) if listed else None
    if topics and not all(map(is_topic, topics)):
        _refuse_token(f"write the topics of entry {number} as topic,topic")
    digest = sha256(token.encode()).digest()
    return ApiToken(name=name, full=access == "full", topics=topics, digest=digest)


def _refuse_token(instead: str) -> NoReturn:
    # Not even a part of the value: in a wrong order, anything may be the token.
    _refuse("API_TOKENS", "…", instead)


def _fields(value: str) -> tuple[str, ...]:
    fields = tuple(re.findall(r"[^\s,]+", value))
    for field in fields:
        names = field.split(".")
        if not all(names) or set(names) == {"*"}:
            _refuse("MASKED_FIELDS", field, "write names or paths, as email, card.number, *.email")
    return fields


def _retention(value: str) -> Retention:
    ages: dict[str, timedelta | None] = {}
    for entry in re.findall(r"[^\s,]+", value):
        name, _, text = entry.partition("=")
        ages[name] = None if name in ages or name not in KEPT else age(text)
        if ages[name] is None:
            each = ", ".join(KEPT)
            _refuse("PRUNE", entry, f"write each of {each} once at most, as events=90d audit=12h")
    return Retention(**ages)


def _interval(value: str) -> timedelta:
    interval = age(value)
    if interval is None:
        _refuse("PRUNE_INTERVAL", value, "write hours or days, as 1h or 7d")
    return interval


def _truth(name: str, value: str) -> bool:
    if value.lower() not in TRUTH:
        _refuse(name, value, "write true or false")
    return TRUTH[value.lower()]


def _level(value: str) -> int:
    if value.lower() not in LEVELS:
        _refuse("FRAMEWORK_LOG_LEVEL", value, f"write one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[value.upper()]


def _refuse(name: str, value: str, instead: str) -> NoReturn:
    msg = f"{name}={value} cannot be used: {instead}"
    raise SettingsError(msg)
