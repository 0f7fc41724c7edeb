"""A service holds up to its own checks, on its own database, and when its README is followed."""

import json
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.checkout import ROOT, environment
from tests.polling import eventually
from tests.template.answers import OTHER, PAIRS
from tests.template.kitchen import NOT_OURS, Kitchen, succeed

LIMIT = 120.0
"""Seconds in which a first start must have recorded an event on a machine that does more."""
SLOW = ("uv run mypy", "uv run pytest")
BLOCKS = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHECKS = ("ruff check", "ruff format --check", "mypy", "pytest -q")
MIGRATE = """
from alembic import command
from alembic.config import Config

config = Config(toml_file="pyproject.toml")
command.upgrade(config, "head")
command.check(config)
command.downgrade(config, "base")
command.upgrade(config, "head")
"""
SCHEMAS = {
    "compose.yaml": "vendor.compose-spec",
    ".github/workflows/ci.yaml": "vendor.github-workflows",
    ".github/dependabot.yml": "vendor.dependabot",
    ".gitlab-ci.yml": "vendor.gitlab-ci",
}


def test_the_files_of_other_programs_are_valid(
    kitchen: Kitchen, service: Path, answers: dict[str, str]
) -> None:
    """Compose, CI, Dependabot and Docker can read what is theirs."""
    there = {name: schema for name, schema in SCHEMAS.items() if (service / name).exists()}
    assert (".gitlab-ci.yml" in there) == (answers["ci"] == "gitlab")
    assert (".github/workflows/ci.yaml" in there) == (answers["ci"] == "github")
    for name, schema in there.items():
        kitchen.succeed("check-jsonschema", "--builtin-schema", schema, service / name)
    kitchen.succeed("hadolint", service / "Dockerfile")


@pytest.mark.parametrize(
    ("database", "url"),
    [("sqlite", "sqlite_url"), ("postgresql", "postgresql_url"), ("mysql", "mariadb_url")],
)
def test_it_migrates_its_database(
    kitchen: Kitchen, request: pytest.FixtureRequest, database: str, url: str
) -> None:
    """Up, as the models say, and down again."""
    service = kitchen.bake(ROOT, database=database, **OTHER)
    chosen = {"DATABASE_URL": request.getfixturevalue(url)}
    succeed(sys.executable, "-c", MIGRATE, folder=service, **chosen)


@pytest.mark.full
@pytest.mark.timeout(600)
def test_it_passes_its_own_checks(kitchen: Kitchen, answers: dict[str, str]) -> None:
    """Lint, types and tests find nothing in a new service."""
    service = kitchen.bake(ROOT, **answers)
    for check in CHECKS:
        succeed(sys.executable, "-m", *check.split(), folder=service)
    succeed(Path(sys.executable).with_name("lint-imports"), folder=service)


def follow(service: Path, *, passing_over: tuple[str, ...] = ()) -> None:
    """Do what the README says, from its first line to its last, but for what needs servers."""
    for language, text in BLOCKS.findall((service / "README.md").read_text()):
        if language == "python":
            write(service, text)
        for line in text.splitlines():
            if line.startswith("uv ") and not line.startswith(("uv run dev", *passing_over)):
                succeed("sh", "-c", line, folder=service)


def write(service: Path, text: str) -> None:
    """Write what stands below the name of a file into it, or above its imports of `app`."""
    head, code = text.split("\n", 1)
    path = service / head.removeprefix("# ")
    if path.exists():
        code = path.read_text().replace("from app.", f"{code}from app.", 1)
    path.write_text(code)


@pytest.mark.timeout(600)
def test_its_readme_can_be_followed(kitchen: Kitchen) -> None:
    """Agents, decoder and tables work as it says, in a folder with a space and without git.

    The migration that alembic writes is about the service's own table only.
    """
    service = kitchen.bake(ROOT, **PAIRS[1])
    assert " " in str(service)
    follow(service, passing_over=SLOW)
    succeed("uv", "run", "pytest", "-q", "-k", "not over_http", folder=service)
    agents = {path.stem for path in (service / "app" / "agents").glob("[a-z]*.py")}
    assert agents == {"bookings", "orders", "returns", "shipments"}
    [revision] = (service / "migrations" / "versions").glob("*_bookings.py")
    assert '"bookings"' in revision.read_text()
    assert "checkpoint" not in revision.read_text()
    succeed("uv", "run", "alembic", "check", folder=service)
    assert (service / "uv.lock").exists()
    assert "uv.lock" not in (service / ".gitignore").read_text()


@pytest.mark.full
@pytest.mark.timeout(900)
def test_its_readme_can_be_followed_to_the_letter(kitchen: Kitchen) -> None:
    """With all checks that it names, before and after."""
    follow(kitchen.bake(ROOT, **PAIRS[4]))


@pytest.mark.timeout(300)
def test_its_first_command_serves_events(kitchen: Kitchen) -> None:
    """`uv run dev` in a new service records an event and serves it, and Ctrl-C ends it well."""
    service = kitchen.bake(ROOT, **PAIRS[3])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    variables = {k: v for k, v in environment(WEB_PORT=str(port)).items() if k not in NOT_OURS}
    with (service / "dev.log").open("wb") as log:
        dev = subprocess.Popen(
            ["uv", "run", "dev"],
            cwd=service,
            env=variables | {"WEB_PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    def served() -> None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/events") as answer:
                assert json.load(answer)
        except OSError as error:
            raise AssertionError((service / "dev.log").read_text()) from error

    try:
        eventually(served, timeout=LIMIT)
        dev.send_signal(signal.SIGINT)
        assert dev.wait(LIMIT) == 0
    finally:
        dev.kill()
        dev.wait()
    assert "parcel-tracker starts" in (service / "dev.log").read_text()
