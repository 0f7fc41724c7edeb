"""The service's settings: the only reader of the environment."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from app.checkpoint.database import async_url

SERVICE_NAME = "faust-service"
SOURCE_TOPIC = "orders"
DATABASE_URL = "sqlite:///service.db"

BROKER_URL = "kafka://localhost:9092"
WEB_HOST = "127.0.0.1"
WEB_PORT = "6066"
MAX_PORT = 65535
FRAMEWORK_LOG_LEVEL = "info"

LEVELS = ("debug", "info", "warning", "error")
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class SettingsError(ValueError):
    """A variable of the environment cannot be used; the message says which, and what to write."""


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
            topic_allow_declare=_truth(environ.get("TOPIC_ALLOW_DECLARE") or "true"),
            framework_log_level=_level(environ.get("FRAMEWORK_LOG_LEVEL") or FRAMEWORK_LOG_LEVEL),
        )


def _topic(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value) or value in {".", ".."}:
        _refuse("SOURCE_TOPIC", value, "write a Kafka topic: letters, digits, '.', '_' and '-'")
    return value


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


def _truth(value: str) -> bool:
    if value.lower() not in TRUTH:
        _refuse("TOPIC_ALLOW_DECLARE", value, "write true or false")
    return TRUTH[value.lower()]


def _level(value: str) -> int:
    if value.lower() not in LEVELS:
        _refuse("FRAMEWORK_LOG_LEVEL", value, f"write one of {', '.join(LEVELS)}")
    return logging.getLevelNamesMapping()[value.upper()]


def _refuse(name: str, value: str, instead: str) -> NoReturn:
    msg = f"{name}={value} cannot be used: {instead}"
    raise SettingsError(msg)
