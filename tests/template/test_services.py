"""What a service is made of."""

import itertools
import re
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from tests.checkout import ROOT
from tests.template.answers import OTHER, PAIRS, QUESTIONS
from tests.template.kitchen import Kitchen, contents, succeed

OWN = {"README.md", ".gitignore"}
"""What a service does not have as the template has it."""
SERVERS = {"postgresql": {"postgres"}, "mysql": {"mariadb", "mysql"}, "sqlite": set()}
TRACES = re.compile(r"faust[ _-]service|never loses an event", re.IGNORECASE)
TEMPLATE = re.compile(r"\{\{ *cookiecutter|hooks/|tests/template|docs/decisions|\.ci/run")


def test_all_pairs_of_answers_are_covered() -> None:
    """Any two answers to two questions meet in one of the cases."""
    kinds = [
        [("database", one) for one in QUESTIONS["database"]],
        [("ci", one) for one in QUESTIONS["ci"]],
        [("source_topic", one) for one in ("orders", "Parcels.v1")],
        [("project_slug", one) for one in (None, OTHER["project_slug"])],
    ]
    cases = [{(name, case.get(name)) for name in QUESTIONS} for case in PAIRS]
    for one, other in itertools.combinations(kinds, 2):
        for pair in itertools.product(one, other):
            assert any(case.issuperset(pair) for case in cases), pair


def test_the_default_answers_give_the_repositorys_own_files(kitchen: Kitchen) -> None:
    """Each file of the service is here, byte for byte; only the lock file is not ignored there."""
    made = contents(kitchen.bake(ROOT))
    here = {name: (ROOT / name).read_bytes() for name in made}
    assert {name for name in made if made[name] != here[name]} == OWN
    kept, lock, ignored = here[".gitignore"].partition(b"uv.lock\n\n")
    assert lock
    assert kept.count(b"\n") == 1
    assert made[".gitignore"] == ignored


def test_nothing_of_the_template_is_in_a_service(kitchen: Kitchen) -> None:
    """It has what it needs, and no file about making services or about the engine's own making."""
    service = kitchen.bake(ROOT)
    top = {path.name for path in service.iterdir()}
    assert top >= {"README.md", "app", "compose.yaml", "migrations", "pyproject.toml", "tests"}
    assert top.isdisjoint({"hooks", "benchmarks", "docs", "CHANGELOG.md", ".ci", "uv.lock"})
    assert "HOOKS-DID-NOT-RUN.txt" not in top
    assert not (service / "tests" / "template").exists()


def test_answers_arrive_and_leave_no_trace_of_others(
    service: Path, answers: dict[str, str]
) -> None:
    """Names, topic and description are the service's own wherever they stand."""
    project = tomllib.loads((service / "pyproject.toml").read_text())["project"]
    assert project["name"] == service.name == answers.get("project_slug", "faust-service")
    assert project["description"] == answers.get("description", QUESTIONS["description"])
    assert settings_of(service) == [service.name, answers["source_topic"]]
    for name, content in contents(service).items():
        assert not TEMPLATE.search(content.decode()), name
        if "project_slug" in answers:
            assert not TRACES.search(content.decode()), name


def test_only_its_own_database_is_run_and_tested(service: Path, answers: dict[str, str]) -> None:
    """Compose and CI have the database of production and no other."""
    for name in ("compose.yaml", ".github/workflows/ci.yaml", ".gitlab-ci.yml"):
        if (service / name).exists():
            words = set(re.findall("postgres|mariadb|mysql", (service / name).read_text().lower()))
            assert words == SERVERS[answers["database"]]


def settings_of(service: Path) -> list[str]:
    """Return app id and topic as the service reads them."""
    code = (
        "from app.settings import Settings; s = Settings.from_environment({});"
        " print(s.service_name, s.source_topic)"
    )
    return succeed(sys.executable, "-Bc", code, folder=service).split()


def test_no_service_is_named_like_a_package_that_it_needs() -> None:
    """All that is installed is reserved: uv could not install both."""
    names = {re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower() for one in distributions()}
    reserved = set((ROOT / "hooks" / "reserved.txt").read_text().split())
    assert names - {"faust-service"} <= reserved
