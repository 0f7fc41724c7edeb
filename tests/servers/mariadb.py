"""MariaDB: a private data folder made by mariadb-install-db."""

from pathlib import Path
from typing import ClassVar

from tests.servers.machine import find_program
from tests.servers.process import run
from tests.servers.sql import DatabaseServer, name_in, unused_name


class MariaDB(DatabaseServer):
    """MariaDB with its compiled defaults: the machine's option files are not read."""

    account: ClassVar = "mysql"
    driver: ClassVar = "mysql+asyncmy"
    administrator: ClassVar = "root"
    system_database: ClassVar = "mysql"
    where_are_your_data: ClassVar = "SELECT @@datadir"

    def create_database(self, name: str | None = None) -> str:
        """Create a database and an ordinary user of its own; return its URL."""
        name = name or unused_name()
        self.execute(f"CREATE DATABASE `{name}`")
        self.execute(f"CREATE USER `{name}`@`127.0.0.1` IDENTIFIED BY 'secret'")
        self.execute(f"GRANT ALL ON `{name}`.* TO `{name}`@`127.0.0.1`")
        return f"mysql://{name}:secret@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop what `create_database` made, and cut whoever is still connected to it."""
        name = name_in(url)
        # First: an open transaction on one of its tables would hold up the drop for a day.
        self.execute(f"KILL USER `{name}`")
        self.execute(f"DROP DATABASE `{name}`")
        self.execute(f"DROP USER `{name}`@`127.0.0.1`")

    def terminate_backends(self) -> int:
        """Cut every client's connection; return how many there were."""
        clients = self.execute(
            "SELECT user FROM information_schema.processlist"
            " WHERE user NOT IN ('root', 'system user', 'event_scheduler')"
        )
        for (user,) in set(clients):
            self.execute(f"KILL USER `{user}`")
        return len(clients)

    def _prepare(self) -> None:
        if self._data.exists():
            return
        options = ["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
        command = [_program("mariadb-install-db"), *options, f"--datadir={self._data}"]
        run(command, folder=self.folder, account=self._account)

    def _command(self) -> list[str]:
        return [
            _program("mariadbd"),
            "--no-defaults",
            f"--datadir={self._data}",
            # In /tmp, another server that starts would take its temporary tables for its own.
            f"--tmpdir={self._data}",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            # In the data folder, by a relative path: a socket's may have no more than 107 bytes.
            "--socket=mariadb.sock",
            # Otherwise 127.0.0.1 may be "localhost" or the machine's name to the grant tables.
            "--skip-name-resolve",
            "--skip-log-bin",
            # As many servers still are: every column has to say by itself what it can hold.
            "--character-set-server=latin1",
            # Of the usual 16M, a payload of 10 MB exceeds its share when its driver escapes it.
            "--max-allowed-packet=64M",
            # 2: a commit is in the kernel's hands and survives the killed server; 0 would lose it.
            f"--innodb-flush-log-at-trx-commit={1 if self.durable else 2}",
        ]


def _program(name: str) -> str:
    # Debian's place for mariadbd, which is on the PATH of root only.
    return str(find_program(name, folders=[Path("/usr/sbin")]))
