"""`uv run dev`: a broker, a database, migrations, a worker and demo orders, with one command."""

import asyncio
import errno
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING, Any

# All else is imported once Ctrl-C is ours: imports take a second, in which it would end in a stack.
if TYPE_CHECKING:
    from confluent_kafka import Producer

    from app.settings import Settings

ROOT = Path(__file__).parents[1]
WORKER = ("faust", "-q", "-A", "app", "worker", "-l", "info")
GUARD = 'read -r _; kill -s TERM "$1"'
BROKER_SECONDS = 5
"""How long a broker may take to answer."""
DEMO_SECONDS = 1.0
"""Time from one demo order to the next."""
IMPATIENCE_SECONDS = 1.0
"""From when on a second Ctrl-C is one: some terminals and shells pass on the first twice."""
THIS_MACHINE = {"localhost", "127.0.0.1"}
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - only to tell what address to visit

WELCOME = """\
{name} starts. Ctrl-C ends all of it.

  broker    {broker}
  database  {database}
  web       {web}

{demo}
"""
DEMO = """\
One order a second goes to the topic {topic}, and app/agents/orders.py handles it: change that
file next. In a few seconds the worker counts the first ones here, and then every half minute.
One order in fifteen is broken: see it among the failures of the web page, and retry it there with
another payload."""
NO_DEMO = "No demo orders are sent, because the broker is not on this machine."


class DevError(Exception):
    """Dev mode cannot go on; the message says why, and what to do."""


def main() -> int:
    """Run everything until Ctrl-C, and return the exit status."""
    os.chdir(ROOT)
    with _stop_signals() as stop, ExitStack() as stack:
        from app.settings import SettingsError

        try:
            return _run(stop, stack)
        except (DevError, SettingsError) as error:
            print(error, file=sys.stderr)
            return 1


def _run(stop: threading.Event, stack: ExitStack) -> int:
    from app.settings import Settings

    # What the worker's settings will read: all that the user chose, and ours where nothing is.
    environ = {"FRAMEWORK_LOG_LEVEL": "warning", **os.environ}
    settings = Settings.from_environment(environ)
    own_broker, own_database = not environ.get("BROKER_URL"), not environ.get("DATABASE_URL")
    _check_port(settings)
    producer = _embedded_broker() if own_broker else _client(settings.broker_url)
    if own_broker:
        environ |= {
            "BROKER_URL": _address(producer),
            # It makes topics when they are first used, and only then.
            "TOPIC_ALLOW_DECLARE": "false",
            "FAUST_DATADIR": stack.enter_context(tempfile.TemporaryDirectory()),
        }
        settings = Settings.from_environment(environ)
    _check_database(settings.database_url)
    _migrate(settings.database_url)
    if own_broker and own_database:
        asyncio.run(_clear(settings.database_url))
    if stop.is_set():
        return 0
    demo = own_broker or on_this_machine(settings.broker_url)
    _welcome(settings, own_broker=own_broker, own_database=own_database, demo=demo)
    worker = _start_worker(environ)
    guard = _start_guard(worker)
    try:
        for key, order in _orders():
            if stop.wait(DEMO_SECONDS) or worker.poll() is not None:
                break
            if demo:
                producer.produce(settings.source_topic, order, key=key)
                producer.poll(0)
    finally:
        # The broker ends last, with its producer: the worker still has offsets to commit.
        status = _end(worker, stop)
        # Before its pipe is closed: by now, the id that it would signal may be a stranger's.
        guard.kill()
        guard.communicate()
    return status


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set the event on whatever is meant to end us; nothing is interrupted halfway."""
    stop = threading.Event()
    before = {one: signal(one, lambda *_: stop.set()) for one in (SIGINT, SIGTERM, SIGHUP)}
    try:
        yield stop
    finally:
        for one, handler in before.items():
            signal(one, handler)


def _check_port(settings: "Settings") -> None:
    host, port = settings.web_host, settings.web_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            msg = f"Port {port} is in use, maybe by another `uv run dev`: set WEB_PORT to another"
        else:
            reason = str(error.strerror).partition(" (")[0]
            msg = f"Nobody can listen on {host}:{port} ({reason}): correct WEB_HOST or WEB_PORT"
        raise DevError(msg) from None


def _embedded_broker() -> "Producer":
    return _producer({"test.mock.num.brokers": 1})


def _client(broker_url: str) -> "Producer":
    producer = _producer({"bootstrap.servers": ",".join(_hosts(broker_url))})
    try:
        producer.list_topics(timeout=BROKER_SECONDS)
    except Exception as error:
        # Its class cannot be named where the module is imported on first use only.
        msg = (
            f"No Kafka broker answers at {broker_url}: start it, or leave BROKER_URL empty to get"
            " an embedded one"
        )
        raise DevError(msg) from error
    return producer


def _producer(settings: dict[str, Any]) -> "Producer":
    try:
        from confluent_kafka import Producer
    except ImportError:
        msg = "The embedded broker is a development tool that is not installed here: run `uv sync`"
        raise DevError(msg) from None
    # Silent: a broker that goes away is the worker's to report.
    return Producer({**settings, "log_level": 0})


def _address(producer: "Producer") -> str:
    [broker] = producer.list_topics(timeout=BROKER_SECONDS).brokers.values()
    return f"kafka://{broker.host}:{broker.port}"


def _hosts(broker_url: str) -> list[str]:
    return re.findall(r"//([^/;]+)", broker_url)


def on_this_machine(broker_url: str) -> bool:
    """Return whether demo orders can do no harm: a broker elsewhere may be in real use."""
    return {host.partition(":")[0] for host in _hosts(broker_url)} <= THIS_MACHINE


def _check_database(database_url: str) -> None:
    sqlite = database_url.startswith("sqlite")
    try:
        if sqlite:
            _lock(database_url)
        else:
            asyncio.run(_connect(database_url))
    except Exception as error:  # each driver has its own for what is wrong with a URL
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        if sqlite:
            advice = f"make it and its folder writable (in {ROOT}), or set DATABASE_URL"
        else:
            advice = "start it, correct DATABASE_URL, or leave that empty to get an embedded one"
        msg = f"The database {_shown(database_url)} cannot be used ({reason}): {advice}"
        raise DevError(msg) from error


def _lock(database_url: str) -> None:
    from sqlalchemy import create_engine, make_url

    # Not by the async driver: when it cannot open the file, its thread complains that we are gone.
    engine = create_engine(make_url(database_url).set(drivername="sqlite"))
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    engine.dispose()


async def _connect(database_url: str) -> None:
    from app.checkpoint.database import Database

    database = Database(database_url)
    try:
        async with database.engine.connect():
            pass
    finally:
        await database.close()


def _migrate(database_url: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(toml_file=ROOT / "pyproject.toml")
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


async def _clear(database_url: str) -> None:
    from app.checkpoint.database import Database
    from app.checkpoint.store import clear

    # Offsets begin anew with the broker: what is recorded of the last one belongs to no topic.
    database = Database(database_url)
    try:
        async with database.engine.begin() as connection:
            await clear(connection)
    finally:
        await database.close()


def _shown(database_url: str) -> str:
    from sqlalchemy import make_url

    return make_url(database_url).render_as_string()


def _welcome(settings: "Settings", *, own_broker: bool, own_database: bool, demo: bool) -> None:
    broker, database = settings.broker_url, _shown(settings.database_url)
    if own_broker:
        broker += "   embedded, in memory"
    if own_database:
        database += "   emptied, as the broker is new" if own_broker else "   kept"
    host = "127.0.0.1" if settings.web_host in EVERYWHERE else settings.web_host
    text = WELCOME.format(
        name=settings.service_name,
        broker=broker,
        database=database,
        web=f"http://{host}:{settings.web_port}/v1/docs",
        demo=DEMO.format(topic=settings.source_topic) if demo else NO_DEMO,
    )
    print(text, flush=True)


def _start_worker(environ: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", *WORKER],
        env=environ,
        stdin=subprocess.DEVNULL,
        # Out of the terminal's reach: we tell the worker when to stop, in order.
        process_group=0,
    )


def _start_guard(worker: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    """Have the worker told to stop when our end of a pipe closes, as it does on SIGKILL too."""
    return subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "guard", str(worker.pid)],
        stdin=subprocess.PIPE,
        process_group=0,
    )


def _orders() -> Iterator[tuple[str, str]]:
    # What the example passes over, and what it cannot read, is part of what it shows.
    for number in itertools.count(1):
        order = {
            "id": f"order-{number}",
            "type": "order_placed" if number % 10 else "order_viewed",
            "version": "1",
            "time": datetime.now(UTC).isoformat(),
        }
        text = json.dumps(order)
        yield order["id"], text if number % 15 else text[:-1]


def _end(worker: subprocess.Popen[bytes], stop: threading.Event) -> int:
    """Return the exit status once the worker is gone, told to stop unless it ended by itself."""
    if worker.poll() is None:
        print("\nStopping: the worker finishes what it has begun.", flush=True)
        return _stop(worker, stop)
    status = _status(worker)
    print(f"The worker ended with status {status}.", file=sys.stderr)
    return status


def _stop(worker: subprocess.Popen[bytes], stop: threading.Event) -> int:
    worker.terminate()
    patient_until = time.monotonic() + IMPATIENCE_SECONDS
    while worker.poll() is None:
        again = stop.wait(0.1)
        if time.monotonic() < patient_until:
            stop.clear()
        elif again:
            worker.kill()
            worker.wait()
    # Told to stop before it could listen, it ended without a word.
    return 0 if worker.returncode == -SIGTERM else _status(worker)


def _status(worker: subprocess.Popen[bytes]) -> int:
    status = worker.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
