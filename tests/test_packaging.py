"""What surrounds the code agrees with the code."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from app.web.api import blueprint

ROOT = Path(__file__).parents[1]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLASSIFIERS: list[str] = PYPROJECT["project"]["classifiers"]
PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())

# In parts, so that this file may itself be searched for them.
REGISTRIES = [
    ".".join(parts)
    for parts in [
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("repo1", "maven"),
        ("repo", "maven"),
        ("docker", "io"),
        ("ghcr", "io"),
    ]
]


class Asked(Mapping[str, str]):
    """An empty environment that remembers which variables were asked for."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.names.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def test_the_example_names_every_variable_with_its_default() -> None:
    """Starting with .env.example as it is changes nothing, and it leaves nothing out."""
    example = _example()
    asked = Asked()
    assert Settings.from_environment(example) == Settings.from_environment(asked)
    assert set(example) == asked.names


def test_every_variable_of_the_example_is_explained() -> None:
    """A comment stands above each variable."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    above = dict(zip(lines[1:], lines, strict=False))
    assert [line for line in _assignments() if not above[line].startswith("# ")] == []


@pytest.mark.parametrize("process", ["release", "worker"])
def test_the_commands_of_the_procfile_exist(process: str) -> None:
    """Each line is a command of this environment, with options that it knows."""
    program, *arguments = shlex.split(PROCFILE[process])
    command = [str(Path(sys.executable).with_name(program)), *arguments, "--help"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_image_runs_what_the_procfile_says() -> None:
    """The image's command is the Procfile's worker, and compose migrates as the release does."""
    image = (ROOT / "Dockerfile").read_text()
    assert f"\nCMD {json.dumps(shlex.split(PROCFILE['worker']))}\n" in image
    migrate = ", ".join(shlex.split(PROCFILE["release"]))
    assert f"command: [{migrate}]" in (ROOT / "compose.yaml").read_text()


def test_the_image_asks_the_port_of_the_settings() -> None:
    """The image exposes and checks the port that the service listens on by default."""
    image = (ROOT / "Dockerfile").read_text()
    port = Settings.from_environment({}).web_port
    assert f"\nEXPOSE {port}\n" in image
    assert f"or '{port}'" in image


def test_the_image_asks_for_a_page_that_there_is() -> None:
    """The health check asks for a view of ours."""
    [page] = re.findall(r"\+ '(/[^']*)'", (ROOT / "Dockerfile").read_text())
    assert page in {route.uri for route in blueprint.routes}


def test_direct_dependencies_are_bounded() -> None:
    """No dependency is raised to a version that nobody has tested."""
    dependencies = [*PYPROJECT["project"]["dependencies"], *PYPROJECT["dependency-groups"]["dev"]]
    assert [one for one in dependencies if not re.search(r">=[\d.]+,<[\d.]+$", one)] == []


def test_production_needs_no_development_tools() -> None:
    """What app imports when it is imported is declared, and not only for development."""
    declared = {re.split(r"[\[<>=]", one)[0] for one in PYPROJECT["project"]["dependencies"]}
    distributions = packages_distributions()
    undeclared = {
        package
        for package in _imported_by_app() - sys.stdlib_module_names - {"app"}
        if declared.isdisjoint(map(str.lower, distributions.get(package, [])))
    }
    assert undeclared == set()


def test_one_uv_is_used_everywhere() -> None:
    """Wherever a version of uv is named, it is the same."""
    pattern = re.compile(r"(?:uv==|UV_VERSION=|UV_VERSION: )(\d[\d.]*)")
    places = [".ci/run", ".github/workflows/ci.yaml", ".gitlab-ci.yml", "Dockerfile"]
    named = {place: pattern.findall((ROOT / place).read_text()) for place in places}
    [version] = named["Dockerfile"]
    assert named == {place: [version] for place in places}


@pytest.mark.parametrize("path", [".github/workflows/ci.yaml", ".gitlab-ci.yml"])
def test_every_python_that_is_promised_is_tested(path: str) -> None:
    """The matrix has the versions of the classifiers."""
    [matrix] = re.findall(r"python: (\[.*\])", (ROOT / path).read_text(), re.IGNORECASE)
    promised = re.findall(r"Python :: (3\.\d+)$", "\n".join(CLASSIFIERS), re.MULTILINE)
    assert json.loads(matrix) == promised


def test_actions_are_pinned_to_commits() -> None:
    """A tag may be moved by whoever takes an action over, a commit may not; a comment names it."""
    used = re.findall(r"uses: (.*)", (ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    pinned = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert used
    assert [one for one in used if not pinned.fullmatch(one)] == []


def test_resolution_is_repeatable() -> None:
    """Without a lock file, a date decides which versions there are."""
    date = PYPROJECT["tool"]["uv"]["exclude-newer"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", date)


def test_changes_are_announced() -> None:
    """The changelog has a place for what is not released yet, above all that is."""
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (.+)$", changes, re.MULTILINE)[0] == "[Unreleased]"


def test_every_decision_is_listed() -> None:
    """The index of the decisions names each page."""
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    pages = {page.name for page in folder.glob("[0-9]*.md")}
    assert set(re.findall(r"\]\((\d{4}-[^)]+)\)", index)) == pages


def test_no_file_names_a_registry_or_a_home() -> None:
    """The repository works behind any mirror and in any folder."""
    home = r"(?<![\w.])/(?:home|root|Users)/\w"
    forbidden = re.compile("|".join([*map(re.escape, REGISTRIES), home]).encode())
    found = {path: forbidden.findall((ROOT / path).read_bytes()) for path in _files()}
    assert {path: words for path, words in found.items() if words} == {}


def _assignments() -> list[str]:
    lines = (ROOT / ".env.example").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _example() -> dict[str, str]:
    return dict(line.split("=", 1) for line in _assignments())


def _imported_by_app() -> set[str]:
    imported = set()
    for path in (ROOT / "app").rglob("*.py"):
        # Top level only: what dev mode imports when it is used may be a tool.
        for node in ast.parse(path.read_text()).body:
            match node:
                case ast.Import():
                    imported |= {alias.name for alias in node.names}
                case ast.ImportFrom(module=str(module)):
                    imported.add(module)
    return {name.partition(".")[0] for name in imported}


def _files() -> list[str]:
    # Somebody else's checkout is as good as ours: nothing but its list of files is used.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for path in listed.stdout.split("\0") if path and (ROOT / path).is_file()]
