"""A disk is full, or a file is in another process's hands: the worker waits for both."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import pytest
from sqlalchemy import make_url

from tests.availability import missing
from tests.end_to_end.stage import Stage
from tests.faults.traffic import Traffic
from tests.servers import PostgreSQL
from tests.servers.sql import name_in

DISK_MEGABYTES = 24


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """Return a folder on a disk of its own."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    # Not below pytest's folder, which other accounts cannot reach.
    folder = Path(mkdtemp(prefix="disk-"))
    options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "none", str(folder)]
    mounted = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if mounted.returncode:
        missing(f"no file system can be mounted here: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)
    folder.rmdir()


@pytest.fixture
def small_sqlite_url(small_disk: Path) -> str:
    """Return the URL of a new database on a small disk."""
    return f"sqlite:///{small_disk / 'service.db'}"


@pytest.fixture
def small_postgresql_url(small_disk: Path, postgresql: PostgreSQL) -> Iterator[str]:
    """Return the URL of a new database whose tables are on a small disk."""
    folder = small_disk / "tables"
    folder.mkdir()
    shutil.chown(folder, postgresql.folder.owner())
    url = postgresql.create_database()
    name = name_in(url)
    postgresql.execute(f'CREATE TABLESPACE "{name}" OWNER "{name}" LOCATION \'{folder}\'')
    postgresql.execute(f'ALTER ROLE "{name}" SET default_tablespace = "{name}"')
    yield url
    postgresql.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    postgresql.execute(f'DROP TABLESPACE "{name}"')
    postgresql.execute(f'DROP ROLE "{name}"')


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Leave no room on a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    yield
    ballast.unlink()


@contextmanager
def written_by_another(file: str) -> Iterator[None]:
    """Write to an SQLite file in a transaction that goes on."""
    with closing(sqlite3.connect(file, isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@pytest.mark.parametrize(
    "database", ["small_postgresql", pytest.param("small_sqlite", marks=pytest.mark.full)]
)
def test_a_full_disk_is_waited_for(small_disk: Path, stage: Stage, database: str) -> None:
    """D9: what cannot be written is not acknowledged; whoever makes room has done all there is."""
    traffic = Traffic(stage)
    with traffic.recovering(), full(small_disk):
        traffic.until_told()
    traffic.finish(f"D9 ({database})")


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_file_that_another_process_writes_to_is_waited_for(stage: Stage) -> None:
    """D11: longer than SQLite itself would wait."""
    traffic = Traffic(stage)
    file = make_url(stage.database_url).database
    assert file is not None
    with traffic.recovering(), written_by_another(file):
        traffic.until_told()
    traffic.finish("D11 (sqlite)")
