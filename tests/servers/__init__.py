"""Real servers that tests and benchmarks start, stop, kill and start again on loopback."""

from tests.servers.kafka import Kafka
from tests.servers.machine import ServerUnavailableError
from tests.servers.mariadb import MariaDB
from tests.servers.postgresql import PostgreSQL
from tests.servers.server import Server, ServerError

__all__ = ["Kafka", "MariaDB", "PostgreSQL", "Server", "ServerError", "ServerUnavailableError"]
