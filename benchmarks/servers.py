"""The servers that a benchmark runs on, its own while it lasts."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import results
from tests.servers import Kafka, PostgreSQL

LARGE = {"shared_buffers": "4GB", "max_wal_size": "8GB"}
"""Settings of PostgreSQL for large tables, as the README has them for production."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """A broker and a database, and what goes with them."""

    kafka: Kafka
    postgresql: PostgreSQL
    folder: Path
    """For logs and reports; empty, and gone afterwards."""
    machine: str
    """What the figures depend on."""


@contextmanager
def started(
    keep: Path | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[Servers]:
    """Start Apache Kafka, and PostgreSQL as in production; in `keep`, its data stay."""
    with (
        Kafka() as kafka,
        PostgreSQL(keep, durable=True, settings=settings) as postgresql,
        tempfile.TemporaryDirectory() as folder,
    ):
        machine = results.machine(str(postgresql.execute("SHOW server_version")[0][0]))
        yield Servers(kafka=kafka, postgresql=postgresql, folder=Path(folder), machine=machine)
