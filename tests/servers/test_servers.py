"""The servers keep their promises: same port, same data, nothing left behind."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from signal import SIGKILL
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tests.polling import eventually
from tests.servers import Kafka, MariaDB, PostgreSQL, Server, ServerError, ServerUnavailableError
from tests.servers.jars import kafka_jars
from tests.servers.sql import DatabaseServer

OWNER = """
import os, signal, sys, tests.servers
server = getattr(tests.servers, sys.argv[1])()
server.start()
print(server.port, server.folder, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(params=["postgresql", "mariadb"])
def database_server(request: pytest.FixtureRequest) -> DatabaseServer:
    """Return each of the session's database servers in turn."""
    server: DatabaseServer = request.getfixturevalue(request.param)
    return server


@pytest.fixture(params=["kafka", "postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Return each of the session's servers in turn."""
    server: Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def topic(kafka: Kafka) -> str:
    """Return the name of a new topic."""
    name = f"test-{uuid4().hex}"
    kafka.create_topic(name)
    return name


def listening(port: int) -> bool:
    """Tell whether anybody accepts connections on the port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def client(url: str) -> AsyncEngine:
    """Return a client of a database, as its own user."""
    drivers = {"sqlite": "aiosqlite", "postgresql": "asyncpg", "mysql": "asyncmy"}
    parts = make_url(url)
    kind = parts.drivername
    return create_async_engine(parts.set(drivername=f"{kind}+{drivers[kind]}"))


def produce(kafka: Kafka, topic: str, values: list[bytes]) -> None:
    """Produce the values to partition 0 and wait until the broker has them."""
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0


def consume(kafka: Kafka, topic: str, *, group: str, count: int) -> list[bytes | None]:
    """Consume so many values as a member of the group and commit their offsets."""
    settings = {"auto.offset.reset": "earliest", "enable.auto.commit": False, "log_level": 0}
    with Consumer(
        {"bootstrap.servers": kafka.bootstrap, "group.id": group, **settings}
    ) as consumer:
        consumer.subscribe([topic])
        messages = consumer.consume(count, timeout=30)
        consumer.commit(asynchronous=False)
        return [message.value() for message in messages]


def test_kafka_produces_consumes_and_commits(kafka: Kafka, topic: str) -> None:
    """What was produced is consumed, and both offsets can be asked for."""
    produce(kafka, topic, [b"a", b"b", b"c"])
    assert consume(kafka, topic, group=topic, count=2) == [b"a", b"b"]
    assert kafka.committed(topic)[topic, 0] == 2
    assert kafka.end_offsets(topic) == {(topic, 0): 3, (topic, 1): 0, (topic, 2): 0, (topic, 3): 0}


def test_kafka_knows_no_offsets_of_an_unknown_group(kafka: Kafka) -> None:
    """A group that never committed has no committed offsets."""
    assert kafka.committed(f"test-{uuid4().hex}") == {}


def test_kafka_creates_a_topic_as_told(kafka: Kafka) -> None:
    """Partitions and configuration arrive: this topic refuses a message over 100 bytes."""
    name = f"test-{uuid4().hex}"
    kafka.create_topic(name, partitions=2, config={"max.message.bytes": "100"})
    assert len(kafka.end_offsets(name)) == 2
    errors: list[object] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
    producer.produce(name, b"x" * 1000, on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert "MSG_SIZE_TOO_LARGE" in repr(errors)


@pytest.mark.full
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_kafka_comes_back_with_its_data(kafka: Kafka, topic: str, end: str) -> None:
    """Messages and committed offsets survive an orderly stop and SIGKILL, on the same port."""
    produce(kafka, topic, [b"a", b"b"])
    consume(kafka, topic, group=topic, count=1)
    bootstrap = kafka.bootstrap
    getattr(kafka, end)()
    assert not listening(kafka.port)
    kafka.start()
    assert kafka.bootstrap == bootstrap
    assert kafka.committed(topic)[topic, 0] == 1
    assert consume(kafka, topic, group=topic, count=1) == [b"b"]


def test_kafka_takes_server_properties(tmp_path: Path) -> None:
    """A property given to the constructor replaces the usual one."""
    with Kafka(tmp_path, properties={"num.partitions": "7"}) as kafka:
        produce(kafka, "made-by-its-first-message", [b"a"])
        assert len(kafka.end_offsets("made-by-its-first-message")) == 7
    assert (tmp_path / "data").exists()


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_database_comes_back_with_its_data(database_server: DatabaseServer, end: str) -> None:
    """A committed row survives an orderly stop and SIGKILL, on the same port."""
    url = database_server.create_database()
    name = make_url(url).database
    database_server.execute("CREATE TABLE facts (answer INT)", database=name)
    database_server.execute("INSERT INTO facts VALUES (42)", database=name)
    getattr(database_server, end)()
    assert not database_server.running
    assert not listening(database_server.port)
    database_server.start()
    assert database_server.execute("SELECT answer FROM facts", database=name) == [(42,)]
    database_server.drop_database(url)


def test_postgresql_stops_at_once_when_told(postgresql: PostgreSQL) -> None:
    """An immediate stop is a crash to the data: the next start recovers them."""
    postgresql.stop("immediate")
    postgresql.start()
    assert "was not properly shut down; automatic recovery" in postgresql.log.read_text()


async def test_terminated_backends_are_gone(database_server: DatabaseServer) -> None:
    """A client whose connection was cut notices; the cut connections are counted."""
    url = database_server.create_database()
    engine = client(url)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SELECT 1")
        assert database_server.terminate_backends() == 1
        with pytest.raises(DBAPIError) as caught:
            await connection.exec_driver_sql("SELECT 1")
        assert caught.value.connection_invalidated
    await engine.dispose()
    database_server.drop_database(url)


async def test_database_is_dropped_under_an_open_transaction(
    database_server: DatabaseServer,
) -> None:
    """A test that leaves a transaction open does not hold up the next one."""
    url = database_server.create_database()
    engine = client(url)
    async with engine.connect() as connection:
        await connection.exec_driver_sql("CREATE TABLE facts (answer INT)")
        await connection.exec_driver_sql("INSERT INTO facts VALUES (42)")
        database_server.drop_database(url)
        await connection.invalidate()
    await engine.dispose()
    with pytest.raises((DBAPIError, OSError)):
        database_server.execute("SELECT 1", database=make_url(url).database)


async def test_database_user_is_no_administrator(database_server: DatabaseServer) -> None:
    """A service under test has rights on its own database only."""
    url = database_server.create_database()
    engine = client(url)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError):
            await connection.exec_driver_sql("CREATE DATABASE another_one")
    await engine.dispose()
    database_server.drop_database(url)


def test_durable_databases_wait_for_the_disk(postgresql: PostgreSQL, mariadb: MariaDB) -> None:
    """A commit waits for the disk when asked to, and only then."""
    fsync, flush = "SHOW fsync", "SELECT @@innodb_flush_log_at_trx_commit"
    assert postgresql.execute(fsync) == [("off",)]
    assert mariadb.execute(flush) == [(2,)]
    with PostgreSQL(durable=True) as durable_postgresql, MariaDB(durable=True) as durable_mariadb:
        assert durable_postgresql.execute(fsync) == [("on",)]
        assert durable_mariadb.execute(flush) == [(1,)]


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_database_url_is_new_to_each_test(database_url: str, turn: str) -> None:
    """Two tests, the first and the second turn, can create the same table."""
    engine = client(database_url)
    async with engine.begin() as connection:
        await connection.exec_driver_sql(f"CREATE TABLE facts ({turn} INT)")
    await engine.dispose()


def test_start_explains_what_went_wrong(server: Server) -> None:
    """A server that cannot start says why, from its log, and leaves nothing running."""
    twin = type(server)()
    twin.port = server.port
    with pytest.raises(ServerError, match=r"(?i)in use"):
        twin.start()
    assert not twin.running
    twin.close()
    assert not twin.folder.exists()


def test_start_of_a_running_server_changes_nothing(server: Server) -> None:
    """A second start is harmless."""
    pid = server.pid
    server.start()
    assert server.pid == pid


def test_start_after_a_crash_recovers(server: Server) -> None:
    """A server that died of itself is started anew."""
    pid = server.pid
    os.kill(pid, SIGKILL)

    def died() -> None:
        assert not server.running

    eventually(died)
    server.start()
    assert server.pid != pid


@pytest.mark.parametrize("kind", ["PostgreSQL", "MariaDB", "Kafka"])
def test_server_dies_with_its_owner(kind: str) -> None:
    """However a test run ends, here by SIGKILL, its servers end too."""
    result = subprocess.run(
        [sys.executable, "-c", OWNER, kind],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    port, folder = result.stdout.split()

    def ended() -> None:
        assert not listening(int(port))

    eventually(ended)
    shutil.rmtree(folder)


def test_kafka_without_java_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Java cannot run Apache Kafka, and is told so."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerUnavailableError, match="java is not installed"):
        Kafka(tmp_path).start()


def test_kafka_with_an_old_java_is_unavailable(
    kafka: Kafka, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A machine whose Java is too old for Apache Kafka counts as one without it."""
    assert kafka.running
    install(tmp_path / "bin", "java", "echo java.lang.UnsupportedClassVersionError; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(ServerUnavailableError, match="needs Java 17"):
        Kafka(tmp_path / "kafka").start()


def test_jars_come_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fetch that fails leaves nothing behind that the next would take for the jars."""
    partial = 'for last; do :; done; folder=${last#*=}; mkdir -p "$folder"; echo > "$folder/a.jar"'
    monkeypatch.setenv("KAFKA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    install(tmp_path / "bin", "mvn", f"{partial}; echo no route to host; exit 1")
    with pytest.raises(ServerUnavailableError, match="no route to host"):
        kafka_jars()
    install(tmp_path / "bin", "mvn", partial)
    assert [jar.name for jar in kafka_jars().iterdir()] == ["a.jar"]
    install(tmp_path / "bin", "mvn", "exit 1")
    assert [jar.name for jar in kafka_jars().iterdir()] == ["a.jar"]


def install(folder: Path, name: str, script: str) -> None:
    """Put a program of this name into the folder."""
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
