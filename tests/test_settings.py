"""What the environment may say, and one sentence for all that it may not."""

import dataclasses
import logging
import re
from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.checkpoint import Retention
from app.settings import ApiToken, Settings, SettingsError

NAMES = (
    "SOURCE_TOPIC",
    "BROKER_URL",
    "DATABASE_URL",
    "WEB_HOST",
    "WEB_PORT",
    "WEB_ONLY",
    "API_TOKENS",
    "MASKED_FIELDS",
    "PRUNE",
    "PRUNE_INTERVAL",
    "TOPIC_ALLOW_DECLARE",
    "FRAMEWORK_LOG_LEVEL",
)
TOKEN = "s3cret" * 6
BAD = [
    ("SOURCE_TOPIC", "two words", "letters, digits"),
    ("SOURCE_TOPIC", "..", "letters, digits"),
    ("SOURCE_TOPIC", "x" * 250, "letters, digits"),
    ("BROKER_URL", "nonsense", "kafka://host:port"),
    ("BROKER_URL", "localhost:9092", "kafka://host:port"),
    ("BROKER_URL", "kafka://localhost", "kafka://host:port"),
    ("BROKER_URL", "kafka://localhost:0", "kafka://host:port"),
    ("BROKER_URL", "kafka://localhost:99999", "kafka://host:port"),
    ("BROKER_URL", "kafka://one:9092,two:9092", "separated by ';'"),
    ("BROKER_URL", "kafka://one:9092;", "separated by ';'"),
    ("DATABASE_URL", "service.db", "sqlite:///file.db"),
    ("DATABASE_URL", "oracle://host/name", "postgresql://user:password@host/name"),
    ("DATABASE_URL", "postgresql+psycopg://host/name", "postgresql://user:password@host/name"),
    ("DATABASE_URL", "postgresql://host:port/name", "postgresql://user:password@host/name"),
    ("DATABASE_URL", "sqlite://service.db", "sqlite:///file.db"),
    ("DATABASE_URL", "sqlite://", "sqlite:///file.db"),
    ("DATABASE_URL", "sqlite:///:memory:", "sqlite:///file.db"),
    ("WEB_PORT", "0", "from 1 to 65535"),
    ("WEB_PORT", "65536", "from 1 to 65535"),
    ("WEB_PORT", "-1", "from 1 to 65535"),
    ("WEB_PORT", "٣", "from 1 to 65535"),
    ("WEB_ONLY", "sometimes", "true or false"),
    ("API_TOKENS", "s3cret", "write entry 1 as name:full:token"),
    ("API_TOKENS", f"a:full:{TOKEN} b:write:{TOKEN}", "write entry 2 as name:full:token"),
    ("API_TOKENS", f"a:full:{'s' * 31}", "with a token of 32 to 512"),
    ("API_TOKENS", f"a:full:{'s' * 513}", "with a token of 32 to 512"),
    ("API_TOKENS", f"a:full:{TOKEN}é", "with a token of 32 to 512"),
    ("API_TOKENS", f"a:full:{TOKEN}:", "name:read:token:topic,topic"),
    ("API_TOKENS", f"a b:full:{TOKEN}", "write entry 1 as name:full:token"),
    ("API_TOKENS", f"a:full:{TOKEN}:bills,", "write the topics of entry 1 as topic,topic"),
    ("API_TOKENS", f"a:full:{TOKEN}:bi/lls", "write the topics of entry 1 as topic,topic"),
    ("API_TOKENS", f"a:full:{TOKEN} b:read:{TOKEN}", "a token of its own for each entry"),
    ("MASKED_FIELDS", "card..number", "write names or paths"),
    ("MASKED_FIELDS", ".email", "write names or paths"),
    ("MASKED_FIELDS", "email *", "write names or paths"),
    ("MASKED_FIELDS", "*.*", "write names or paths"),
    ("PRUNE", "90d", "as events=90d"),
    ("PRUNE", "events=90", "as events=90d"),
    ("PRUNE", "events=0d", "as events=90d"),
    ("PRUNE", "resolved=30d events=10000d", "as events=90d"),
    ("PRUNE", "events=90d events=30d", "once at most"),
    ("PRUNE", "lanes=90d", "each of events, resolved, discarded, open, audit"),
    ("PRUNE_INTERVAL", "0h", "hours or days"),
    ("PRUNE_INTERVAL", "60", "hours or days"),
    ("TOPIC_ALLOW_DECLARE", "maybe", "true or false"),
    ("FRAMEWORK_LOG_LEVEL", "loud", "debug, info, warning, error"),
]
SECRETS = [
    ("BROKER_URL", "kafka://me:s3cret@host:9092"),
    ("BROKER_URL", "kafka://me:s3c/s3cret@host:9092"),
    ("BROKER_URL", "kafka://me:s3cret@s3cret@host:9092"),
    ("BROKER_URL", "me:s3cret@host"),
    ("BROKER_URL", "kafka://host:9092?password=s3cret"),
    ("DATABASE_URL", "oracle://me:s3cret@host/name"),
    ("DATABASE_URL", "postgresql://me:s3cret@host:port/name"),
    ("DATABASE_URL", "postgresql:me:s3cret@host"),
    ("DATABASE_URL", "s3cret"),
    ("DATABASE_URL", "sqlite://me:s3cret@host/file.db"),
    ("DATABASE_URL", "sqlite://?password=s3cret"),
    ("API_TOKENS", "s3cret"),
    ("API_TOKENS", "s3cret:full:name"),
    ("API_TOKENS", f"ops:full:{TOKEN} ops:full:{TOKEN}"),
    ("API_TOKENS", f"ops:full:{TOKEN}:s3cret/"),
]


def test_one_name_may_have_two_tokens() -> None:
    """The new one is told before the old one is taken away."""
    entries = f"ops:full:{TOKEN} ops:full:{'n' * 32}"
    found = Settings.from_environment({"API_TOKENS": entries})
    assert [token.name for token in found.api_tokens] == ["ops", "ops"]
    assert "s3cret" not in repr(found)


def test_nothing_needs_to_be_set() -> None:
    """Without a variable the service runs on this machine, and is reached from nowhere else."""
    found = Settings.from_environment({})
    assert found.broker_url.startswith("kafka://localhost:")
    assert found.database_url.startswith("sqlite:///")
    assert found.web_host == "127.0.0.1"
    assert (found.api_tokens, found.masked_fields) == ((), ())
    assert not found.prune


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_variable_counts_as_not_set(name: str) -> None:
    """What a shell or a container passes on as empty changes nothing."""
    assert Settings.from_environment({name: ""}) == Settings.from_environment({})


def test_what_is_set_is_taken() -> None:
    """Each variable reaches its setting."""
    found = Settings.from_environment(
        {
            "SOURCE_TOPIC": "bills",
            "BROKER_URL": "kafka://one:9092;kafka://two:9093",
            "DATABASE_URL": "postgresql://me:s3cret@host/name",
            "WEB_HOST": "0.0.0.0",  # noqa: S104 - as in a container
            "WEB_PORT": "65535",
            "WEB_ONLY": "yes",
            "API_TOKENS": f"ops:full:{TOKEN}  dash@home:read:{'d' * 32}:bills,or.ders\n",
            "MASKED_FIELDS": "email, customer.card.number items.*.pin",
            "PRUNE": "events=90d, resolved=12h\topen=180d",
            "PRUNE_INTERVAL": "7d",
            "TOPIC_ALLOW_DECLARE": "No",
            "FRAMEWORK_LOG_LEVEL": "Warning",
        }
    )
    assert found.source_topic == "bills"
    assert found.broker_url == "kafka://one:9092;kafka://two:9093"
    assert found.database_url == "postgresql://me:s3cret@host/name"
    assert (found.web_host, found.web_port) == ("0.0.0.0", 65535)  # noqa: S104 - the same
    assert found.web_only is True
    assert found.api_tokens == (
        ApiToken(name="ops", full=True, topics=None, digest=sha256(TOKEN.encode()).digest()),
        ApiToken(
            name="dash@home",
            full=False,
            topics=frozenset({"bills", "or.ders"}),
            digest=sha256(b"d" * 32).digest(),
        ),
    )
    assert found.masked_fields == ("email", "customer.card.number", "items.*.pin")
    assert found.prune == Retention(
        events=timedelta(days=90), resolved=timedelta(hours=12), open=timedelta(days=180)
    )
    assert found.prune_interval == timedelta(days=7)
    assert found.topic_allow_declare is False
    assert found.framework_log_level == logging.WARNING


@pytest.mark.parametrize(("name", "value", "instead"), BAD)
def test_a_bad_value_is_refused_in_a_sentence(name: str, value: str, instead: str) -> None:
    """The sentence names the variable and says what to write."""
    with pytest.raises(SettingsError, match=re.escape(instead)) as refused:
        Settings.from_environment({name: value})
    assert str(refused.value).startswith(f"{name}=")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_refusal_shows_no_password(name: str, value: str) -> None:
    """Wherever a password stands in a value, it is not repeated."""
    with pytest.raises(SettingsError) as refused:
        Settings.from_environment({name: value})
    assert "s3cret" not in str(refused.value)


@given(name=st.sampled_from(NAMES), value=st.text())
@settings(deadline=None)
def test_no_value_ends_otherwise(name: str, value: str) -> None:
    """Any text is either taken or refused in a sentence; nothing else is raised."""
    try:
        found = Settings.from_environment({name: value})
    except SettingsError as refused:
        assert str(refused).startswith(f"{name}=")  # noqa: PT017 - either is right
    else:
        assert 1 <= found.web_port <= 65535


def test_a_process_ends_with_the_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts a process with a bad value reads the sentence, and no traceback."""
    monkeypatch.setenv("WEB_PORT", "eighty")
    with pytest.raises(SystemExit, match="WEB_PORT=eighty cannot be used") as ended:
        Settings.load()
    assert ended.value.__suppress_context__


def test_settings_do_not_change() -> None:
    """Everybody who reads the settings reads the same."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings.from_environment({}).web_port = 80  # type: ignore[misc]
