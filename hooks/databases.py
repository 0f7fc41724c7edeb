"""What differs with the database of production; the template itself has PostgreSQL."""

from pathlib import Path

Edits = dict[Path, dict[str, str]]
"""For each file, whole lines as the template has them, and what a service has in their place."""

COMPOSE = Path("compose.yaml")

SERVER = """\
  postgres:
    image: postgres:17
    environment:
      POSTGRES_USER: service
      POSTGRES_PASSWORD: ${POSTGRES_PASSWORD:-service}
      POSTGRES_DB: service
    ports:
      - "127.0.0.1:5432:5432"
    volumes:
      - postgres:/var/lib/postgresql/data
    healthcheck:
      # Over TCP: while the image prepares the database, it listens on its socket only.
      test: [CMD, pg_isready, --host=127.0.0.1, --username=service, --dbname=service]
      interval: 5s
      timeout: 5s
      retries: 12

"""
USAGE = """\
# docker compose up --build        Apache Kafka, PostgreSQL, migrations, one worker
# docker compose up kafka postgres the servers only, for a worker outside of Docker:
#   BROKER_URL=kafka://localhost:9092 DATABASE_URL=postgresql://service:service@localhost/service
"""
URL = """\
    DATABASE_URL: postgresql://service:${POSTGRES_PASSWORD:-service}@postgres/service
"""
MIGRATE = """\
    command: [alembic, upgrade, head]
    healthcheck:
      disable: true
    depends_on:
      postgres:
        condition: service_healthy
"""
VOLUMES = """\
  kafka:
  postgres:
"""

WORKFLOW = Path(".github/workflows/ci.yaml")
PIPELINE = Path(".gitlab-ci.yml")
JOB = "    name: Migrations on PostgreSQL\n"
JOB_SERVER = """\
    services:
      database:
        # By its tag, as in compose.yaml: what is tested is what runs in production.
        image: postgres:17 # zizmor: ignore[unpinned-images]
        env:
          POSTGRES_USER: service
          POSTGRES_PASSWORD: service
          POSTGRES_DB: service
        ports: ["5432:5432"]
        options: --health-cmd="pg_isready --host=127.0.0.1" --health-interval=5s --health-retries=12
    env:
      DATABASE_URL: postgresql://service:service@127.0.0.1/service
"""
PIPELINE_SERVER = """\
  services:
    - name: postgres:17
      alias: database
  variables:
    POSTGRES_USER: service
    POSTGRES_PASSWORD: service
    POSTGRES_DB: service
    DATABASE_URL: postgresql://service:service@database/service
"""

MARIADB: Edits = {
    WORKFLOW: {
        JOB: "    name: Migrations on MariaDB\n",
        JOB_SERVER: """\
    services:
      database:
        # By its tag, as in compose.yaml: what is tested is what runs in production.
        image: mariadb:10.11 # zizmor: ignore[unpinned-images]
        env:
          MARIADB_USER: service
          MARIADB_PASSWORD: service
          MARIADB_DATABASE: service
          MARIADB_RANDOM_ROOT_PASSWORD: "yes"
        ports: ["3306:3306"]
        options: --health-cmd="healthcheck.sh --connect" --health-interval=5s --health-retries=12
    env:
      DATABASE_URL: mysql://service:service@127.0.0.1/service
""",
    },
    PIPELINE: {
        PIPELINE_SERVER: """\
  services:
    - name: mariadb:10.11
      alias: database
  variables:
    MARIADB_USER: service
    MARIADB_PASSWORD: service
    MARIADB_DATABASE: service
    MARIADB_RANDOM_ROOT_PASSWORD: "yes"
    DATABASE_URL: mysql://service:service@database/service
""",
    },
    COMPOSE: {
        USAGE: """\
# docker compose up --build        Apache Kafka, MariaDB, migrations, one worker
# docker compose up kafka mariadb  the servers only, for a worker outside of Docker:
#   BROKER_URL=kafka://localhost:9092 DATABASE_URL=mysql://service:service@127.0.0.1/service
""",
        URL: """\
    DATABASE_URL: mysql://service:${MARIADB_PASSWORD:-service}@mariadb/service
""",
        SERVER: """\
  mariadb:
    image: mariadb:10.11
    # At least three times the largest message.
    command: [--max-allowed-packet=64M]
    environment:
      MARIADB_USER: service
      MARIADB_PASSWORD: ${MARIADB_PASSWORD:-service}
      MARIADB_DATABASE: service
      MARIADB_RANDOM_ROOT_PASSWORD: "yes"
    ports:
      - "127.0.0.1:3306:3306"
    volumes:
      - mariadb:/var/lib/mysql
    healthcheck:
      # Over TCP: while the image prepares the database, it listens on its socket only.
      test: [CMD, healthcheck.sh, --connect, --innodb_initialized]
      interval: 5s
      timeout: 5s
      retries: 12

""",
        MIGRATE: MIGRATE.replace("postgres:", "mariadb:"),
        VOLUMES: VOLUMES.replace("postgres:", "mariadb:"),
    },
    Path(".env.example"): {
        "# Or postgresql://user:password@host/name, or mysql://user:password@host/name.\n": (
            "# Or mysql://user:password@host/name, or postgresql://user:password@host/name.\n"
        ),
    },
}
SQLITE: Edits = {
    WORKFLOW: {JOB: "    name: Migrations on SQLite\n", JOB_SERVER: ""},
    PIPELINE: {PIPELINE_SERVER: ""},
    COMPOSE: {
        USAGE: """\
# docker compose up --build        Apache Kafka, migrations, one worker with a file as its database
# docker compose up kafka          the server only, for a worker outside of Docker:
#   BROKER_URL=kafka://localhost:9092
""",
        URL: """\
    DATABASE_URL: sqlite:////data/service.db
  volumes:
    - data:/data
""",
        SERVER: "",
        MIGRATE: """\
    command: [alembic, upgrade, head]
    healthcheck:
      disable: true
""",
        VOLUMES: """\
  data:
  kafka:
""",
    },
    Path("Dockerfile"): {
        "USER 10001:10001\n": """\
# Where compose.yaml keeps the database: the volume will belong to whom this folder belongs.
RUN install -d -o 10001 -g 10001 /data
USER 10001:10001
""",
    },
}

DATABASES: dict[str, Edits] = {"mysql": MARIADB, "postgresql": {}, "sqlite": SQLITE}
"""The edits for each answer."""
