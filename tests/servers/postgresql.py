"""PostgreSQL: a private cluster made by initdb."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT, SIGQUIT
from typing import ClassVar, Literal

from tests.servers.machine import ServerUnavailableError, find_program
from tests.servers.process import run
from tests.servers.sql import DatabaseServer, name_in, unused_name


class PostgreSQL(DatabaseServer):
    """PostgreSQL of the newest version installed, trusting everybody; `settings` are its own."""

    account: ClassVar = "postgres"
    # Not SIGKILL: it would leave shared memory behind that nobody ever frees.
    abort_signal: ClassVar = SIGQUIT
    driver: ClassVar = "postgresql+asyncpg"
    administrator: ClassVar = "postgres"
    system_database: ClassVar = "postgres"
    where_are_your_data: ClassVar = "SHOW data_directory"

    def __init__(
        self,
        folder: Path | None = None,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, durable=durable)
        self._settings = settings or {}

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """Cut the clients and return once it is down; "immediate" leaves data to be recovered."""
        self._end(SIGINT if mode == "fast" else SIGQUIT)

    def create_database(self, name: str | None = None) -> str:
        """Create a database and an ordinary user of its own; return its URL."""
        name = name or unused_name()
        self.execute(f'CREATE ROLE "{name}" LOGIN')
        self.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
        return f"postgresql://{name}@127.0.0.1:{self.port}/{name}"

    def drop_database(self, url: str) -> None:
        """Drop what `create_database` made, and cut whoever is still connected to it."""
        name = name_in(url)
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
        self.execute(f'DROP ROLE "{name}"')

    def terminate_backends(self) -> int:
        """Cut every client's connection; return how many there were."""
        cut = self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        return len(cut)

    def _prepare(self) -> None:
        if self._data.exists():
            return
        options = ["--no-sync", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        command = [_program("initdb"), *options, f"--username={self.administrator}"]
        run([*command, "-D", str(self._data)], folder=self.folder, account=self._account)

    def _command(self) -> list[str]:
        settings = {
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            # In the data folder, by a relative path: a socket's may have no more than 107 bytes.
            "unix_socket_directories": ".",
            # Off, a commit is still in the kernel's hands and survives the killed server. It would
            # not with synchronous_commit=off, which stays on.
            "fsync": "on" if self.durable else "off",
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [_program("postgres"), "-D", str(self._data), *options]


def _program(name: str) -> str:
    # Beside initdb itself, not beside a link to it: both must be of the same version.
    initdb = find_program("initdb", folders=[*_debian_folders(), *_configured_folder()])
    return str(initdb.resolve().with_name(name))


def _debian_folders() -> list[Path]:
    def version(folder: Path) -> int:
        return int(re.sub(r"\D", "", folder.parent.name) or 0)

    return sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=version, reverse=True)


def _configured_folder() -> list[Path]:
    try:
        program = find_program("pg_config")
    except ServerUnavailableError:
        return []
    return [Path(subprocess.check_output([program, "--bindir"], text=True).strip())]
