"""Apache Kafka's jars, fetched once by Maven into a cache folder."""

import os
import shutil
import tempfile
from pathlib import Path

from tests.servers.machine import ServerUnavailableError, find_program
from tests.servers.process import run

KAFKA_VERSION = "4.1.1"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_POM = f"""\
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>tests</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{KAFKA_VERSION}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>2.25.1</version>
    </dependency>
  </dependencies>
</project>
"""


def kafka_jars() -> Path:
    """Return the folder of the jars: below KAFKA_CACHE, by default `.cache` in the repository."""
    root = Path(os.environ.get("KAFKA_CACHE") or Path(__file__).parents[2] / ".cache")
    jars = root / f"kafka-{KAFKA_VERSION}" / "jars"
    if not jars.exists():
        _fetch(jars)
    return jars


def _fetch(jars: Path) -> None:
    maven = find_program("mvn")
    jars.parent.mkdir(parents=True, exist_ok=True)
    (jars.parent / "pom.xml").write_text(_POM)
    # Renamed when complete: an interrupted fetch leaves no folder with half of them.
    incoming = Path(tempfile.mkdtemp(prefix="incoming-", dir=jars.parent))
    command = [str(maven), "-q", "-B", _COPY, f"-DoutputDirectory={incoming / 'jars'}"]
    try:
        run(command, folder=jars.parent)
        if not jars.exists():
            (incoming / "jars").rename(jars)
    except ChildProcessError as error:
        message = f"the jars of Apache Kafka {KAFKA_VERSION} cannot be fetched: {error}"
        raise ServerUnavailableError(message) from error
    finally:
        shutil.rmtree(incoming)
